"""Removal of quotes of erased assets from evaluations."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_critic.app.ports import ErasureMetrics, PendingErasures
    from svc_critic.domain.erasure import ErasedAsset

BATCH_SIZE = 100
"""Evaluations that one transaction changes."""
_RETRY_AFTER = timedelta(seconds=60)
_MAX_COUNT = 10_000
_log = logging.getLogger(__name__)


class EraseQuotes:
    """Removes quotes of erased assets from evaluations, from one batch of each asset in turn.

    What fails is retried a minute later, and does not delay other assets.
    """

    def __init__(
        self, erasures: PendingErasures, metrics: ErasureMetrics, clock: Clock, *, batch_size: int = BATCH_SIZE
    ) -> None:
        self._erasures = erasures
        self._metrics = metrics
        self._clock = clock
        self._evaluations_at_once = batch_size

    async def __call__(self) -> None:
        """Runs until nothing is due."""
        now = self._clock.now()
        while asset := await self._erasures.claim(now, now + _RETRY_AFTER):
            await self._erase_next(asset)
            now = self._clock.now()

    async def count_unfinished(self) -> None:
        """Updates the gauge of the assets that are left."""
        self._metrics.set_unfinished_erasures(await self._erasures.count_unfinished(_MAX_COUNT))

    async def _erase_next(self, asset: ErasedAsset) -> None:
        try:
            await self._erasures.erase_next(asset, self._evaluations_at_once, self._clock.now())
        except Exception as error:  # noqa: BLE001 - no error stops the erasures of other assets
            _log.error("verdicts on asset %s keep what they quote of it", asset.asset_id, exc_info=error)
