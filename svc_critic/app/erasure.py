"""Removing from verdicts what they quote of assets that were erased."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_critic.app.ports import ErasureMeter, Erasures
    from svc_critic.domain.erasure import ErasedAsset

EVALUATIONS_AT_ONCE = 100
"""Evaluations of one transaction."""
_RETRY = timedelta(seconds=60)
_MOST_COUNTED = 10_000
_log = logging.getLogger(__name__)


class EraseQuotes:
    """Removes what verdicts quote of assets that were marked as gone, from some verdicts of each asset in turn.

    Where that fails, it is tried again a minute later, and holds up no other asset.
    """

    def __init__(
        self, erasures: Erasures, meter: ErasureMeter, clock: Clock, *, evaluations_at_once: int = EVALUATIONS_AT_ONCE
    ) -> None:
        self._erasures = erasures
        self._meter = meter
        self._clock = clock
        self._evaluations_at_once = evaluations_at_once

    async def __call__(self) -> None:
        """Go on until nothing is due."""
        now = self._clock.now()
        while asset := await self._erasures.claim(now, now + _RETRY):
            await self._go_on(asset)
            now = self._clock.now()

    async def count_unfinished(self) -> None:
        """Show operators how many assets are left."""
        self._meter.unfinished_erasures(await self._erasures.unfinished(_MOST_COUNTED))

    async def _go_on(self, asset: ErasedAsset) -> None:
        try:
            await self._erasures.erase_next(asset, self._evaluations_at_once, self._clock.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, other assets go on
            _log.error("verdicts on asset %s keep what they quote of it", asset.asset_id, exc_info=error)
