"""What all engines share: a data folder, a port that stays the same over restarts, generated secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from soma_local.home import Home, write_private
from soma_local.ports import LOOPBACK, free_port, port_is_free
from soma_local.program import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORTS = range(1, 65_536)
_SMALL = {"GOGC": "50"}
"""Engines written in Go collect garbage earlier: a third less memory for a little time of one machine's own work."""


class Engine(Program):
    """An engine from a wheel, on loopback, with all its state below `home`.

    Start it from the main thread: it ends with the thread that started it. `port=0` takes the port of the last run
    while that is free, else any free one.
    """

    title: ClassVar[str]

    def __init__(self, home: Path | Home, port: int = 0) -> None:
        super().__init__(self.title, home if isinstance(home, Home) else Home(Path(home).resolve()))
        self._given_port = port
        self.port = port

    @property
    def folder(self) -> Path:
        """The engine's own data."""
        return self._home.root / "data" / self.name

    @property
    def address(self) -> str:
        """Host and port of the engine's main listener."""
        return f"{LOOPBACK}:{self.port}"

    async def prepare(self) -> None:
        """Make the data folder and settle the port."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.port = self._given_port or self._persistent_port("port")

    def _persistent_port(self, name: str) -> int:
        """Give the port remembered under the name, replaced when another program took it meanwhile."""
        file = self.folder.with_name(f"{self.name}.{name}")
        port = _remembered(file)
        if port not in _PORTS or not port_is_free(port):
            port = free_port()
            write_private(file, str(port))
        return port


def _remembered(file: Path) -> int:
    """Give the number in the file, 0 when there is none, such as after a crash of the machine."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def plain_environ() -> Mapping[str, str]:
    """Give the environment of an engine: nothing of the caller's but where programs and its home are."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "TZ") if name in os.environ}
    return {**inherited, "LC_ALL": "C.UTF-8", **_SMALL}
