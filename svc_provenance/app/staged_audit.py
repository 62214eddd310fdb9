"""Adds audit entries that wait to their chains, beside the path that takes facts in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_provenance.app.ports import PendingStore


class PendingAudit:
    """Works when it hears of entries, and looks for them every `every_s` seconds."""

    def __init__(self, waiting: PendingStore, every_s: float = 5.0) -> None:
        self._waiting = waiting
        self._every_s = every_s
        self._wake = asyncio.Event()

    def on_notification(self, _: str) -> None:
        """Some entry waits."""
        self._wake.set()

    async def work(self) -> None:
        """Adds what waits, for ever."""
        while True:
            self._wake.clear()
            while await self._waiting.add():
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
