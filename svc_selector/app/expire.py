"""Frees the amounts of expired reservations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.logging import get_logger

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_selector.app.ports import Ledger

GRACE_S = 120.0
"""Time after a start in which callers can renew and settle what they could not before, in seconds."""
_log = get_logger(__name__)


class ReservationExpirer:
    """Expires reservations every `interval_s` seconds, and again at once while it finds some.

    Starts after `grace_s` seconds: while the selector or its database was down, nobody could renew or settle, and
    amounts that were reserved for calls in progress must not be freed first.
    """

    def __init__(self, ledger: Ledger, clock: Clock, interval_s: float, *, grace_s: float = GRACE_S) -> None:
        self._ledger = ledger
        self._clock = clock
        self._interval_s = interval_s
        self._grace_s = grace_s

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._clock.sleep(self._grace_s)
        while True:
            while freed := await self._ledger.expire_reservations():
                _log.warning("reservations expired without settlement", freed=freed)
            await self._clock.sleep(self._interval_s)
