"""What is read of one job, each statement through an index that leads to what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import not_found
from mesh.stores.partitions import month_of
from svc_executor.adapters.postgres import rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from soma_providers.port import JsonValue
    from svc_executor.domain.job import Execution, Job, Step, StepSummary
    from svc_executor.domain.provider_call import ProviderCall
    from svc_executor.domain.timeline import Compensation, JobEvent

# An attempt is found by the index of (plan_id, step_index, attempt): the name of its step leads to no index. LIMIT
# keeps the planner from reading all attempts of the job instead.
_EXECUTION = f"""
SELECT {rows.EXECUTION_COLUMNS_WITH_CONTENT} FROM multimodal_executions
WHERE plan_id = $1 AND month = $2 AND attempt = $4
    AND step_index = (SELECT step_index FROM job_steps WHERE plan_id = $1 AND step_id = $3)
"""  # noqa: S608 - names are ours

_EXECUTION_BY_ID = f"""
SELECT {rows.EXECUTION_COLUMNS_WITH_CONTENT} FROM multimodal_executions WHERE id = $3 AND plan_id = $1 AND month = $2
"""  # noqa: S608 - names are ours

_NAMED_EXECUTIONS = f"""
SELECT e.* FROM unnest($3::text[], $4::integer[]) AS named (step_id, attempt) CROSS JOIN LATERAL (
    SELECT {rows.EXECUTION_COLUMNS} FROM multimodal_executions
    WHERE plan_id = $1 AND month = $2 AND attempt = named.attempt
        AND step_index = (SELECT step_index FROM job_steps WHERE plan_id = $1 AND step_id = named.step_id)
    LIMIT 1
) AS e
"""  # noqa: S608 - names are ours

_LAST_EXECUTIONS = f"""
SELECT e.* FROM job_steps AS s CROSS JOIN LATERAL (
    SELECT {rows.EXECUTION_COLUMNS} FROM multimodal_executions
    WHERE plan_id = $1 AND month = $2 AND step_index = s.step_index ORDER BY attempt DESC LIMIT 1
) AS e
WHERE s.plan_id = $1 ORDER BY s.step_index
"""  # noqa: S608 - names are ours

# These read the rows of one job, whose number the limit of resumes bounds, and give few of them.
_COST = """
SELECT coalesce(sum(CASE WHEN settled THEN cost_micro_usd ELSE reserved_micro_usd END), 0)
FROM multimodal_executions WHERE plan_id = $1 AND month = $2
"""

_RECORDED_ASSETS = """
SELECT DISTINCT unnest(asset_ids) AS asset_id FROM multimodal_executions WHERE plan_id = $1 AND month = $2
"""

# The last start of a run is found from the end of the timeline.
_EVENTS_OF_RUN = """
SELECT * FROM job_events WHERE plan_id = $1 AND sequence >= coalesce((
    SELECT sequence FROM job_events WHERE plan_id = $1 AND type = 'JOB' AND job_status = 'RUNNING'
    ORDER BY sequence DESC LIMIT 1
), 0) ORDER BY sequence
"""

_NOT_REPORTED = "AND NOT reported"
_TO_COMPENSATE = "AND (NOT settled OR asset_ids && $3::text[])"


async def job_of(connection: asyncpg.Connection, job_id: str, lock: str = "") -> Job:
    """A job without its plan; NOT_FOUND when this tenant has none of that id."""
    row = await connection.fetchrow(
        f"SELECT {rows.JOB_COLUMNS} FROM multimodal_job_plans WHERE id = $1 {lock}",  # noqa: S608 - names are ours
        job_id,
    )
    if row is None:
        raise not_found("job", job_id)
    return rows.job_of(row)


async def plan_of(connection: asyncpg.Connection, job_id: str) -> Mapping[str, JsonValue]:
    """The plan of a job that is there."""
    plan: Mapping[str, JsonValue] = await connection.fetchval(
        "SELECT plan_json FROM multimodal_job_plans WHERE id = $1", job_id
    )
    return plan


async def steps_of(connection: asyncpg.Connection, job_id: str) -> list[Step]:
    """Steps of a job, whole, in the order of the plan."""
    found = await connection.fetch("SELECT * FROM job_steps WHERE plan_id = $1 ORDER BY step_index", job_id)
    return [rows.step_of(row) for row in found]


async def step_summaries_of(connection: asyncpg.Connection, job_id: str) -> list[StepSummary]:
    """Steps of a job in the order of the plan, without what may be large."""
    found = await connection.fetch(
        f"SELECT {rows.STEP_SUMMARY_COLUMNS} FROM job_steps WHERE plan_id = $1 ORDER BY step_index",  # noqa: S608 - names are ours
        job_id,
    )
    return [rows.step_summary_of(row) for row in found]


async def executions_of(connection: asyncpg.Connection, job_id: str) -> list[Execution]:
    """Attempts of a job with their content, in the order they began."""
    return [
        rows.execution_of(row) for row in await _executions(connection, rows.EXECUTION_COLUMNS_WITH_CONTENT, job_id)
    ]


async def unreported_of(connection: asyncpg.Connection, job_id: str) -> list[Execution]:
    """The attempts with their content that are not reported yet, in the order they began."""
    found = await _executions(connection, rows.EXECUTION_COLUMNS_WITH_CONTENT, job_id, _NOT_REPORTED)
    return [rows.execution_of(row) for row in found]


async def executions_to_compensate(
    connection: asyncpg.Connection, job_id: str, asset_ids: Sequence[str]
) -> list[Execution]:
    """Attempts that are not settled or recorded one of these assets, in the order they began."""
    found = await _executions(connection, rows.EXECUTION_COLUMNS, job_id, _TO_COMPENSATE, list(asset_ids))
    return [rows.execution_of(row) for row in found]


async def _executions(
    connection: asyncpg.Connection, columns: str, job_id: str, which: str = "", *args: object
) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await connection.fetch(
        f"""SELECT {columns} FROM multimodal_executions WHERE plan_id = $1 AND month = $2 {which}
            ORDER BY created_at, step_index, attempt""",  # noqa: S608 - names are ours
        job_id,
        month_of(job_id),
        *args,
    )
    return found


async def execution(connection: asyncpg.Connection, job_id: str, step_id: str, attempt: int) -> Execution | None:
    """One attempt with its content, if it was started."""
    row = await connection.fetchrow(_EXECUTION, job_id, month_of(job_id), step_id, attempt)
    return rows.execution_of(row) if row else None


async def execution_by_id(connection: asyncpg.Connection, job_id: str, execution_id: str) -> Execution | None:
    """One attempt of a job with its content, by its id."""
    row = await connection.fetchrow(_EXECUTION_BY_ID, job_id, month_of(job_id), execution_id)
    return rows.execution_of(row) if row else None


async def named_executions(
    connection: asyncpg.Connection, job_id: str, names: Sequence[tuple[str, int]]
) -> list[Execution]:
    """The attempts of these steps and numbers that were started."""
    steps, attempts = [step_id for step_id, _ in names], [attempt for _, attempt in names]
    found = await connection.fetch(_NAMED_EXECUTIONS, job_id, month_of(job_id), steps, attempts) if names else []
    return [rows.execution_of(row) for row in found]


async def last_executions(connection: asyncpg.Connection, job_id: str) -> list[Execution]:
    """The last attempt of each step that has one, in the order of the plan."""
    found = await connection.fetch(_LAST_EXECUTIONS, job_id, month_of(job_id))
    return [rows.execution_of(row) for row in found]


async def committed_micro_usd(connection: asyncpg.Connection, job_id: str) -> int:
    """What settled attempts cost and the others have reserved, in millionths of a US dollar."""
    return int(await connection.fetchval(_COST, job_id, month_of(job_id)))


async def recorded_assets(connection: asyncpg.Connection, job_id: str) -> set[str]:
    """Assets that attempts recorded."""
    return {row["asset_id"] for row in await connection.fetch(_RECORDED_ASSETS, job_id, month_of(job_id))}


async def calls_of(connection: asyncpg.Connection, job_id: str) -> list[ProviderCall]:
    """Calls of a job that are not forgotten yet."""
    found = await connection.fetch("SELECT * FROM provider_calls WHERE plan_id = $1 ORDER BY started_at", job_id)
    return [rows.call_of(row) for row in found]


async def events_of(connection: asyncpg.Connection, job_id: str, after: int, limit: int | None) -> list[JobEvent]:
    """Events of a job with a sequence above `after`, in order."""
    found = await connection.fetch(
        "SELECT * FROM job_events WHERE plan_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        job_id,
        after,
        limit,
    )
    return [rows.event_of(row) for row in found]


async def events_of_run(connection: asyncpg.Connection, job_id: str) -> list[JobEvent]:
    """Events since the job was set RUNNING for the last time, in order."""
    return [rows.event_of(row) for row in await connection.fetch(_EVENTS_OF_RUN, job_id)]


async def compensations_of(connection: asyncpg.Connection, job_id: str) -> list[Compensation]:
    """Undoings of a job in order."""
    found = await connection.fetch("SELECT * FROM compensations WHERE plan_id = $1 ORDER BY run, position", job_id)
    return [rows.compensation_of(row) for row in found]


async def compensations_of_run(connection: asyncpg.Connection, job_id: str, run: int) -> list[Compensation]:
    """Compensations of one run in order."""
    found = await connection.fetch(
        "SELECT * FROM compensations WHERE plan_id = $1 AND run = $2 ORDER BY position", job_id, run
    )
    return [rows.compensation_of(row) for row in found]


async def unfinished_compensations(connection: asyncpg.Connection, job_id: str) -> list[Compensation]:
    """Compensations of all runs that are not done, in order."""
    found = await connection.fetch(
        "SELECT * FROM compensations WHERE plan_id = $1 AND NOT done ORDER BY run, position", job_id
    )
    return [rows.compensation_of(row) for row in found]


async def compensation(connection: asyncpg.Connection, job_id: str, run: int, position: int) -> Compensation | None:
    """One compensation."""
    row = await connection.fetchrow(
        "SELECT * FROM compensations WHERE plan_id = $1 AND run = $2 AND position = $3", job_id, run, position
    )
    return rows.compensation_of(row) if row else None
