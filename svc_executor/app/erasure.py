"""Removing from jobs the texts of assets that were erased."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from soma_providers.port import prompt_of
from svc_executor.domain.erasure import text_dependencies
from svc_executor.domain.job import MAX_PROMPT_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_executor.app.ports import AssetTexts, Erasures, Meter
    from svc_executor.domain.erasure import ErasedAsset

JOBS_AT_ONCE = 20
"""Jobs of one transaction: each is locked until it ends."""
_BATCH_TIMEOUT_S = 10.0
"""How long several jobs may be locked."""
_RETRY_AFTER = timedelta(seconds=60)
_MAX_COUNTED = 10_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Position:
    """Which jobs of an asset are next: those with ids above `after`.

    Jobs up to `one_by_one_to` are done one by one, since one of them has failed.
    """

    after: str = ""
    one_by_one_to: str = ""

    @property
    def one_by_one(self) -> bool:
        """Whether the next transaction has a single job."""
        return self.after < self.one_by_one_to


_START = _Position()


class EraseTexts:
    """Removes the texts of assets that were marked as gone, from a few jobs of each asset in turn.

    Where that fails, those jobs are done one by one. A job that fails is tried again a minute later and holds up
    neither the other jobs of its asset nor other assets.
    """

    def __init__(self, erasures: Erasures, meter: Meter, clock: Clock, *, jobs_at_once: int = JOBS_AT_ONCE) -> None:
        self._erasures = erasures
        self._meter = meter
        self._clock = clock
        self._jobs_at_once = jobs_at_once

    async def __call__(self) -> None:
        """Erase until nothing is due."""
        positions: dict[ErasedAsset, _Position] = {}
        now = self._clock.now()
        while asset := await self._erasures.claim(now, now + _RETRY_AFTER):
            position = await self._erase_next(asset, positions.pop(asset, _START))
            if position != _START:
                positions[asset] = position
            now = self._clock.now()

    async def count_unfinished(self) -> None:
        """Show operators how many assets are left."""
        self._meter.unfinished_erasures(await self._erasures.unfinished(_MAX_COUNTED))

    async def wait(self, seconds: float) -> None:
        """Wait until an asset may have been marked, or the time is over."""
        await self._erasures.wait(seconds)

    async def _erase_next(self, asset: ErasedAsset, position: _Position) -> _Position:
        """Do the next jobs of an asset, and give the position after them."""
        limit = 1 if position.one_by_one else self._jobs_at_once
        jobs: Sequence[str] = ()
        now = self._clock.now()
        try:
            async with (
                asyncio.timeout(_BATCH_TIMEOUT_S if limit > 1 else None),
                self._erasures.texts(asset.tenant_id) as texts,
            ):
                jobs = await texts.next_jobs(asset, position.after, limit)
                only_failed_left = position.after and not jobs
                await erase_from_jobs(texts, asset, jobs, now + _RETRY_AFTER if only_failed_left else now)
        except Exception as error:  # noqa: BLE001 - whatever it is, other jobs and other assets go on
            return await self._after_failure(asset, position, jobs, error, one_by_one=limit == 1)
        return _START if position == _START or not jobs else _Position(jobs[-1], position.one_by_one_to)

    async def _after_failure(
        self, asset: ErasedAsset, position: _Position, jobs: Sequence[str], error: Exception, *, one_by_one: bool
    ) -> _Position:
        if not jobs:
            _log.error("jobs that keep a text of asset %s were not found", asset.asset_id, exc_info=error)
            return _START
        await self._erasures.postpone(asset, self._clock.now())
        if one_by_one:
            _log.error("a text of asset %s was not removed from job %s", asset.asset_id, jobs[-1], exc_info=error)
            return _Position(jobs[-1], position.one_by_one_to)
        text = "the texts of asset %s are removed from %d jobs one by one: %s"
        _log.warning(text, asset.asset_id, len(jobs), type(error).__name__)
        return _Position(position.after, jobs[-1])


async def erase_from_jobs(texts: AssetTexts, asset: ErasedAsset, job_ids: Sequence[str], due: datetime) -> None:
    """Remove the text of an erased asset from jobs that have the asset, also where later steps were given it.

    The params of such later attempts become those of the plan, with their references as they were written. Other jobs
    that keep a text of the asset are due at `due`. Safe to repeat.
    """
    await texts.lock_jobs(job_ids)
    for job_id in job_ids:
        await _erase(texts, job_id, asset.asset_id)
    await texts.forget_jobs(asset, job_ids, due)


async def _erase(texts: AssetTexts, job_id: str, asset_id: str) -> None:
    erased = await texts.erase(job_id, asset_id)
    if not erased.attempts:
        return
    for task in await texts.tasks(job_id, erased.attempts):
        quoted = text_dependencies(task)
        if quoted.isdisjoint(erased.attempts):
            continue
        # An attempt that runs was given the text of the result as it is now.
        ended_only = quoted.isdisjoint(erased.results)
        prompt = prompt_of(task.params)[:MAX_PROMPT_CHARS]
        await texts.replace_inputs(job_id, task.task_id, task.params, prompt, ended_only=ended_only)
