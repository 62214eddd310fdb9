"""Envoy, from a wheel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from soma_local.engines.base import Engine, engine_environ
from soma_local.engines.http import get_status
from soma_local.home import write_private
from soma_local.locate import engines as locate
from soma_local.program import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from soma_local.home import Home

_HTTP_OK = 200
_DRAIN_S = 20


class EnvoyEngine(Engine):
    """Envoy with the bootstrap that `bootstrap(admin_port)` returns; `port` is that of the admin interface."""

    title: ClassVar[str] = "envoy"

    def __init__(self, home: Path | Home, bootstrap: Callable[[int], Mapping[str, object]], port: int = 0) -> None:
        super().__init__(home, port)
        self._bootstrap = bootstrap

    async def prepare(self) -> None:
        """Writes the bootstrap configuration."""
        await super().prepare()
        write_private(self._config, json.dumps(self._bootstrap(self.port), indent=2))

    def command(self) -> Command:
        """Returns the command of the proxy, without the shared memory of hot restarts."""
        argv = [
            str(locate.envoy().path), "--config-path", str(self._config), "--concurrency", "2",
            "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", str(_DRAIN_S),
        ]  # fmt: skip
        return Command(argv, engine_environ(), folder=self.folder)

    async def ready(self) -> bool:
        """Returns whether it is live, which includes its first configuration from the control plane."""
        status, body = await get_status(f"http://{self.address}/ready")
        return status == _HTTP_OK and body.strip() == "LIVE"

    @property
    def _config(self) -> Path:
        return self.folder / "bootstrap.json"
