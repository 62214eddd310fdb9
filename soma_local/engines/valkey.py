"""Valkey, from a wheel."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from soma_local.engines.base import Engine, engine_environ
from soma_local.home import write_private
from soma_local.locate import engines as locate
from soma_local.ports import LOOPBACK
from soma_local.program import Command


class ValkeyEngine(Engine):
    """Valkey with a password and an append-only file, which survives kill -9 up to its last second."""

    title: ClassVar[str] = "valkey"

    @property
    def url(self) -> str:
        """Connection URL with the password."""
        return f"redis://:{self._password}@{self.address}/0"

    async def prepare(self) -> None:
        """Writes the configuration to a file, as every user of the machine can read arguments."""
        await super().prepare()
        lines = (
            f"bind {LOOPBACK}", f"port {self.port}", f"dir {self.folder}", f"requirepass {self._password}",
            "appendonly yes", "appendfsync everysec", "aof-load-truncated yes", 'save ""', "daemonize no",
        )  # fmt: skip
        write_private(self.folder / "valkey.conf", "\n".join(lines) + "\n")

    def command(self) -> Command:
        """Returns the command of the server."""
        return Command([str(locate.valkey().path), str(self.folder / "valkey.conf")], engine_environ())

    async def ready(self) -> bool:
        """Returns whether an authenticated PING gets PONG, which it does not while the append-only file loads."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
                try:
                    writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
                    await writer.drain()
                    return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    @property
    def _password(self) -> str:
        return self._home.secret("valkey")
