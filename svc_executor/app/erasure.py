"""Removing from jobs the texts of assets that were erased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.domain.erasure import quoted_steps
from svc_executor.domain.job import PROMPT_REPORTED
from svc_executor.domain.wording import prompt_of

if TYPE_CHECKING:
    from svc_executor.domain.erasure import ErasedAsset, Texts


class EraseTexts:
    """Removes the text of an erased asset from every job that has the asset, also where later steps were given it.

    The params of such later attempts become those of the plan, with their references as they were written. Safe to
    repeat.
    """

    async def __call__(self, texts: Texts, asset: ErasedAsset) -> None:
        """Do it, in the transaction of `texts`."""
        for job_id in await texts.jobs_with(asset):
            erased = await texts.erase(job_id, asset.asset_id)
            if not erased.attempts:
                continue
            for task in await texts.tasks(job_id):
                quoted = quoted_steps(task)
                if quoted.isdisjoint(erased.attempts):
                    continue
                # An attempt that runs was given the text of the result as it is now.
                ended_only = quoted.isdisjoint(erased.results)
                prompt = prompt_of(task.params)[:PROMPT_REPORTED]
                await texts.replace_inputs(job_id, task.task_id, task.params, prompt, ended_only=ended_only)
