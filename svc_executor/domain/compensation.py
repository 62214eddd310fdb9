"""What is undone when a run ends, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.domain.job import JobState
from svc_executor.domain.timeline import Compensation, CompensationKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from svc_executor.domain.job import Execution, Job

_UNDONE = frozenset({JobState.FAILED, JobState.CANCELLED})


def assets_to_release(job: Job, state: JobState, recorded: Collection[str], held: Sequence[str]) -> list[str]:
    """The assets of those that the job holds which go when it ends in this state: all of a job that is undone.

    `recorded` are those of its attempts. A job that keeps its results gives up what no attempt recorded: an attempt
    whose worker was killed was made again, and may have stored other bytes then.
    """
    keeps = job.options.keep_on_failure and state is JobState.FAILED
    if state in _UNDONE and not keeps:
        return list(held)
    return [asset_id for asset_id in held if asset_id not in recorded]


def compensations(
    job: Job, executions: Sequence[Execution], assets: Sequence[str], now: datetime
) -> Iterator[Compensation]:
    """Undoings of a run, newest result first, each asset once: `assets` to give up, reservations left open.

    Assets that no attempt recorded, because a crash came between, go first.
    """
    for position, (kind, target, execution) in enumerate(_targets(executions, assets)):
        yield Compensation(
            job_id=job.job_id,
            run=job.run,
            position=position,
            kind=kind,
            target_id=target,
            step_id=execution.step_id if execution else "",
            execution_id=execution.execution_id if execution else "",
            updated_at=now,
        )


def _targets(
    executions: Sequence[Execution], assets: Sequence[str]
) -> Iterator[tuple[CompensationKind, str, Execution | None]]:
    left = dict.fromkeys(assets)
    recorded = {asset_id for execution in executions for asset_id in execution.asset_ids}
    for asset_id in [each for each in left if each not in recorded]:
        yield CompensationKind.ASSET, asset_id, None
    for execution in reversed(executions):
        for asset_id in reversed(execution.asset_ids):
            if asset_id in left:
                del left[asset_id]
                yield CompensationKind.ASSET, asset_id, execution
        if not execution.settled:
            yield CompensationKind.RESERVATION, execution.reservation_id, execution
