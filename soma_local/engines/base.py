"""The base of all engines: a data folder, and ports that stay the same across restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from soma_local.home import Home, write_private
from soma_local.ports import LOOPBACK, free_port, port_is_free
from soma_local.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

_VALID_PORTS = range(1, 65_536)
_GO_ENVIRON = {"GOGC": "50"}
"""Engines written in Go collect garbage more often, which saves a third of their memory."""


class Engine(Program):
    """An engine from a wheel, on loopback, with all its state below `home`.

    It must be started from the main thread, as it ends with the thread that started it. `port=0` stands for the port of
    the last run when that is free, else for any free one.
    """

    title: ClassVar[str]

    def __init__(self, home: Path | Home, port: int = 0) -> None:
        super().__init__(self.title, home if isinstance(home, Home) else Home(Path(home).resolve()))
        self._requested_port = port
        self.port = port

    @property
    def folder(self) -> Path:
        """The data folder of the engine."""
        return self._home.root / "data" / self.name

    @property
    def address(self) -> str:
        """Host and port of the main listener."""
        return f"{LOOPBACK}:{self.port}"

    async def prepare(self) -> None:
        """Creates the data folder and allocates the port."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port = self._requested_port or self._persistent_port("port")

    def _persistent_port(self, name: str) -> int:
        """Returns the stored port of this name, or a new one when another program uses it."""
        file = self.folder.with_name(f"{self.name}.{name}")
        port = _read_port(file)
        if port not in _VALID_PORTS or not port_is_free(port):
            port = free_port()
            write_private(file, str(port))
        return port


def _read_port(file: Path) -> int:
    """Returns the port in a file, 0 when there is none, such as after a crash of the machine."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def engine_environ() -> Mapping[str, str]:
    """Returns the environment of an engine: only PATH, HOME, TMPDIR and TZ are inherited."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "TZ") if name in os.environ}
    return {**inherited, "LC_ALL": "C.UTF-8", **_GO_ENVIRON}
