"""Removing from jobs the texts of assets that were erased."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from svc_executor.domain.erasure import quoted_steps
from svc_executor.domain.job import PROMPT_REPORTED
from svc_executor.domain.wording import prompt_of

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_executor.domain.erasure import ErasedAsset, Erasures, Texts

JOBS_AT_ONCE = 20
"""Jobs of one transaction: each is locked until it ends."""
_RETRY = timedelta(seconds=60)
_log = logging.getLogger(__name__)


class EraseTexts:
    """Removes the text of an erased asset from jobs that have the asset, also where later steps were given it.

    The params of such later attempts become those of the plan, with their references as they were written. Each call
    does `jobs_at_once` jobs at most; where more are left, `ContinueErasures` goes on. Safe to repeat.
    """

    def __init__(self, clock: Clock, jobs_at_once: int = JOBS_AT_ONCE) -> None:
        self._clock = clock
        self._jobs_at_once = jobs_at_once

    async def __call__(self, texts: Texts, asset: ErasedAsset) -> None:
        """Do it, in the transaction of `texts`."""
        await texts.mark(asset, self._clock.now())
        job_ids = await texts.next_jobs(asset, self._jobs_at_once)
        for job_id in job_ids:
            await self._erase(texts, job_id, asset.asset_id)
        await texts.forget_jobs(asset, job_ids)

    async def _erase(self, texts: Texts, job_id: str, asset_id: str) -> None:
        erased = await texts.erase(job_id, asset_id)
        if not erased.attempts:
            return
        for task in await texts.tasks(job_id):
            quoted = quoted_steps(task)
            if quoted.isdisjoint(erased.attempts):
                continue
            # An attempt that runs was given the text of the result as it is now.
            ended_only = quoted.isdisjoint(erased.results)
            prompt = prompt_of(task.params)[:PROMPT_REPORTED]
            await texts.replace_inputs(job_id, task.task_id, task.params, prompt, ended_only=ended_only)


class ContinueErasures:
    """Goes on with erasures of assets that many jobs have, a few jobs of each asset in turn.

    One that fails is tried again a minute later and holds up no other.
    """

    def __init__(self, erasures: Erasures, erase: EraseTexts, clock: Clock) -> None:
        self._erasures = erasures
        self._erase = erase
        self._clock = clock

    async def __call__(self) -> None:
        """Go on until nothing is due."""
        now = self._clock.now()
        while asset := await self._erasures.claim(now, now + _RETRY):
            try:
                async with self._erasures.texts(asset.tenant_id) as texts:
                    await self._erase(texts, asset)
            except Exception:  # noqa: BLE001 - whatever it is, other erasures go on
                _log.exception("the texts of asset %s were not removed from all jobs", asset.asset_id)
            now = self._clock.now()
