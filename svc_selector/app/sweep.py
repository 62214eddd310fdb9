"""Frees reservations that lapsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.logging import get_logger

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_selector.domain.ports import Ledger

_log = get_logger(__name__)


class Sweeper:
    """Looks for lapsed reservations every `every_s` seconds, and at once while there are many."""

    def __init__(self, ledger: Ledger, clock: Clock, every_s: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._every_s = every_s

    async def run(self) -> None:
        """Sweeps for ever."""
        while True:
            while freed := await self._ledger.expire():
                _log.warning("reservations lapsed unsettled", freed=freed)
            await self._clock.sleep(self._every_s)
