"""Temporal's development server, from a wheel."""

from __future__ import annotations

from typing import ClassVar

from soma_local.engines.base import Engine, engine_environ
from soma_local.engines.http import get_status
from soma_local.locate import engines as locate
from soma_local.ports import LOOPBACK, free_port
from soma_local.program import Command

_HTTP_OK = 200


class TemporalEngine(Engine):
    """Temporal on SQLite in WAL mode: workflows survive kill -9 of the server."""

    title: ClassVar[str] = "temporal"

    async def prepare(self) -> None:
        """Allocates the ports."""
        await super().prepare()
        self._http_port = free_port()

    def command(self) -> Command:
        """Returns the command of the server; the default poll rate of its queue processors adds 50 ms to each task."""
        argv = [
            str(locate.temporal().path), "server", "start-dev", "--headless", "--ip", LOOPBACK,
            "--port", str(self.port), "--http-port", str(self._http_port), "--log-level", "error",
            "--db-filename", str(self.folder / "temporal.db"),
            "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal",
            "--dynamic-config-value", "history.transferProcessorMaxPollRPS=1000",
            "--dynamic-config-value", "matching.useNewMatcher=true",
            "--dynamic-config-value", "matching.enableFairness=true",
        ]  # fmt: skip
        return Command(argv, engine_environ(), folder=self.folder)

    async def ready(self) -> bool:
        """Returns whether the default namespace exists."""
        status, _ = await get_status(f"http://{LOOPBACK}:{self._http_port}/api/v1/namespaces/default")
        return status == _HTTP_OK
