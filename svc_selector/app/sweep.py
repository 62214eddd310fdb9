"""Frees reservations that lapsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.logging import get_logger

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_selector.app.ports import Ledger

GRACE_S = 120.0
"""Time in which reservations are renewed and settled that could not be before, in seconds."""
_log = get_logger(__name__)


class Sweeper:
    """Looks for lapsed reservations every `every_s` seconds, and at once while there are many.

    It begins `grace_s` seconds after its start: while the selector or its database was away, nobody could renew or
    settle, and what was reserved for calls that were made is not to be given away first.
    """

    def __init__(self, ledger: Ledger, clock: Clock, every_s: float, *, grace_s: float = GRACE_S) -> None:
        self._ledger = ledger
        self._clock = clock
        self._every_s = every_s
        self._grace_s = grace_s

    async def run(self) -> None:
        """Sweeps for ever."""
        await self._clock.sleep(self._grace_s)
        while True:
            while freed := await self._ledger.expire():
                _log.warning("reservations lapsed unsettled", freed=freed)
            await self._clock.sleep(self._every_s)
