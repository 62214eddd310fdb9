"""Compensations of a run, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.domain.job import JobState
from svc_executor.domain.timeline import Compensation, CompensationKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from svc_executor.domain.job import Execution, Job

_COMPENSATED_STATES = frozenset({JobState.FAILED, JobState.CANCELLED})


def assets_to_release(
    job: Job, state: JobState, recorded_assets: Collection[str], held_assets: Sequence[str]
) -> list[str]:
    """Returns which of a job's held assets are released when it ends in this state: all where its run is undone.

    `recorded_assets` are those that attempts recorded. A job that keeps its results releases the others: an attempt
    whose worker was killed is repeated, and may store other bytes.
    """
    keeps_assets = job.options.keep_on_failure and state is JobState.FAILED
    if state in _COMPENSATED_STATES and not keeps_assets:
        return list(held_assets)
    return [asset_id for asset_id in held_assets if asset_id not in recorded_assets]


def compensations(
    job: Job, executions: Sequence[Execution], assets: Sequence[str], now: datetime
) -> Iterator[Compensation]:
    """Yields the compensations of a run: `assets` to release, each once, newest first, and reservations left open.

    Assets that no attempt recorded, because a worker crashed before, come first.
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
    remaining = dict.fromkeys(assets)
    recorded_assets = {asset_id for execution in executions for asset_id in execution.asset_ids}
    for asset_id in [each for each in remaining if each not in recorded_assets]:
        yield CompensationKind.ASSET, asset_id, None
    for execution in reversed(executions):
        for asset_id in reversed(execution.asset_ids):
            if asset_id in remaining:
                del remaining[asset_id]
                yield CompensationKind.ASSET, asset_id, execution
        if not execution.settled:
            yield CompensationKind.RESERVATION, execution.reservation_id, execution
