"""Appends staged audit entries to their chains, apart from the consumers that stage them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_provenance.app.ports import StagedEntryStore


class AppendStagedEntries:
    """Appends entries when it is notified of them, and polls every `poll_interval_s` seconds."""

    def __init__(self, store: StagedEntryStore, poll_interval_s: float = 5.0) -> None:
        self._store = store
        self._poll_interval_s = poll_interval_s
        self._wake = asyncio.Event()

    def on_notification(self, _: str) -> None:
        """Wakes the loop: an entry was staged."""
        self._wake.set()

    async def run(self) -> None:
        """Appends staged entries, for ever."""
        while True:
            self._wake.clear()
            while await self._store.append_next():
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval_s):
                    await self._wake.wait()
