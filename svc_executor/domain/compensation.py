"""What is undone when a run ends, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.domain.job import JobState
from svc_executor.domain.timeline import Compensation, CompensationKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from svc_executor.domain.job import ExecutionSummary, Job

_UNDONE = frozenset({JobState.FAILED, JobState.CANCELLED})


def releases_assets(job: Job, state: JobState) -> bool:
    """Whether what the job stored goes when it ends in this state."""
    keeps = job.terms.keep_on_failure and state is JobState.FAILED
    return state in _UNDONE and not keeps


def compensations(
    job: Job, executions: Sequence[ExecutionSummary], held: Sequence[str] | None, now: datetime
) -> Iterator[Compensation]:
    """Undoings of a run, newest result first, each asset once: assets that the job holds, reservations left open.

    Held assets that no attempt recorded, because a crash came between, go first. `held` is None to keep all assets.
    """
    for position, (kind, target, execution) in enumerate(_targets(executions, held)):
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
    executions: Sequence[ExecutionSummary], held: Sequence[str] | None
) -> Iterator[tuple[CompensationKind, str, ExecutionSummary | None]]:
    left = dict.fromkeys(held or ())
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
