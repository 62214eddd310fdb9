"""One transaction on one job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.events.audit import canonical
from mesh.stores.idempotency import RequestTable
from svc_executor.adapters.postgres import queries, rows, sweep_statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.idempotency import RequestKey
    from svc_executor.domain.job import Execution, Job, Step, StepSummary
    from svc_executor.domain.provider_call import ProviderCall
    from svc_executor.domain.timeline import Compensation, Fact, JobEvent

REQUESTS = RequestTable("job_requests", "plan_id")


class PostgresJobTransaction:
    """See the port `JobTransaction`. Made by `begin`, which locks the job's row."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        job: Job,
        outbox: Outbox,
        encode: Callable[[Fact, Job], Event],
        auditor: Auditor,
    ) -> None:
        self.job = job
        self._connection = connection
        self._outbox = outbox
        self._encode = encode
        self._auditor = auditor

    @classmethod
    async def begin(
        cls,
        connection: asyncpg.Connection,
        job_id: str,
        outbox: Outbox,
        encode: Callable[[Fact, Job], Event],
        auditor: Auditor,
    ) -> PostgresJobTransaction:
        """Lock the job; NOT_FOUND when this tenant has none of that id."""
        return cls(connection, await queries.job_of(connection, job_id, "FOR UPDATE"), outbox, encode, auditor)

    async def steps(self) -> list[Step]:
        return await queries.steps_of(self._connection, self.job.job_id)

    async def step_summaries(self) -> list[StepSummary]:
        return await queries.step_summaries_of(self._connection, self.job.job_id)

    async def step_with_inputs(self, step_id: str) -> dict[str, Step]:
        step = await self.step(step_id)
        found = await self._connection.fetch(
            "SELECT * FROM job_steps WHERE plan_id = $1 AND step_id = ANY($2)",
            self.job.job_id,
            list(step.task.depends_on),
        )
        return {each.step_id: each for each in (*map(rows.step_of, found), step)}

    async def step(self, step_id: str) -> Step:
        row = await self._connection.fetchrow(
            "SELECT * FROM job_steps WHERE plan_id = $1 AND step_id = $2", self.job.job_id, step_id
        )
        if row is None:
            raise KeyError(step_id)
        return rows.step_of(row)

    async def execution(self, step_id: str, attempt: int) -> Execution | None:
        return await queries.execution(self._connection, self.job.job_id, step_id, attempt)

    async def execution_by_id(self, execution_id: str) -> Execution | None:
        return await queries.execution_by_id(self._connection, self.job.job_id, execution_id)

    async def executions(self, names: Sequence[tuple[str, int]]) -> list[Execution]:
        return await queries.named_executions(self._connection, self.job.job_id, names)

    async def last_executions(self) -> list[Execution]:
        return await queries.last_executions(self._connection, self.job.job_id)

    async def executions_to_compensate(self, asset_ids: Sequence[str]) -> list[Execution]:
        return await queries.executions_to_compensate(self._connection, self.job.job_id, asset_ids)

    async def unreported(self) -> list[Execution]:
        return await queries.unreported_of(self._connection, self.job.job_id)

    async def committed_micro_usd(self) -> int:
        return await queries.committed_micro_usd(self._connection, self.job.job_id)

    async def recorded_assets(self) -> set[str]:
        return await queries.recorded_assets(self._connection, self.job.job_id)

    async def compensation(self, run: int, position: int) -> Compensation | None:
        return await queries.compensation(self._connection, self.job.job_id, run, position)

    async def compensations(self, run: int) -> list[Compensation]:
        return await queries.compensations_of_run(self._connection, self.job.job_id, run)

    async def unfinished_compensations(self) -> list[Compensation]:
        return await queries.unfinished_compensations(self._connection, self.job.job_id)

    async def save_job(self, job: Job) -> None:
        row = rows.job_row(job)
        keys = {name: row.pop(name) for name in ("id", "tenant_id", "owner", "terms", "created_at")}
        assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(row, start=2))
        statement = f"UPDATE multimodal_job_plans SET {assignments} WHERE id = $1"  # noqa: S608 - names are ours
        await self._connection.execute(statement, keys["id"], *row.values())
        before, self.job = self.job, job
        await self._audit_job(before)

    async def _audit_job(self, before: Job) -> None:
        job = self.job
        action = job.audit_action_since(before)
        if action:
            ended = action == "job.end"
            plan = {"plan_json": await queries.plan_of(self._connection, job.job_id)}
            await self._auditor.record(
                self._connection,
                action=action,
                resource_type="job",
                resource_id=job.job_id,
                before=canonical({**rows.job_row(before), **plan}),
                after=canonical({**rows.job_row(job), **plan}),
                tenant_id=job.tenant_id,
                reason=job.state.lower() if ended else job.cancel_reason or "",
                policy_id="" if ended else None,
            )

    async def save_step(self, step: Step) -> None:
        row = rows.step_row(step, self.job.tenant_id)
        await insert(self._connection, "job_steps", row, replace_on=("plan_id", "step_index"))

    async def save_execution(self, execution: Execution) -> None:
        row = rows.execution_row(execution, self.job.tenant_id)
        await insert(self._connection, "multimodal_executions", row, replace_on=("id", "month"))

    async def save_compensation(self, compensation: Compensation) -> None:
        row = rows.compensation_row(compensation, self.job.tenant_id)
        await insert(self._connection, "compensations", row, replace_on=("plan_id", "run", "position"))
        if compensation.tried:
            known = {name: row[name] for name in ("plan_id", "run", "position", "kind", "target_id")}
            await self._auditor.record(
                self._connection,
                action="compensation.run",
                resource_type=compensation.kind.value,
                resource_id=compensation.target_id,
                before=canonical({**known, "done": False}),
                after=canonical({**known, "done": compensation.done}),
                tenant_id=self.job.tenant_id,
                reason=compensation.message,
                policy_id="",
            )

    async def call(self, execution_id: str) -> ProviderCall | None:
        row = await self._connection.fetchrow("SELECT * FROM provider_calls WHERE execution_id = $1", execution_id)
        return rows.call_of(row) if row else None

    async def calls(self) -> list[ProviderCall]:
        return await queries.calls_of(self._connection, self.job.job_id)

    async def save_call(self, call: ProviderCall) -> None:
        await insert(self._connection, "provider_calls", rows.call_row(call), replace_on=("execution_id",))

    async def remove_call(self, execution_id: str) -> None:
        await self._connection.execute("DELETE FROM provider_calls WHERE execution_id = $1", execution_id)

    async def record_request(self, key: RequestKey) -> bool:
        job = self.job
        return await REQUESTS.record(self._connection, job.tenant_id, key, job.job_id) is None

    async def has_open(self, count: int) -> bool:
        return bool(await self._connection.fetchval(sweep_statements.HAS_OPEN, self.job.tenant_id, count - 1))

    async def append(self, event: JobEvent) -> None:
        """See the port; the locked row of the job holds the counter, so that there are neither gaps nor races."""
        sequence = await self._connection.fetchval(
            """UPDATE multimodal_job_plans SET event_sequence = event_sequence + 1 WHERE id = $1
               RETURNING event_sequence""",
            self.job.job_id,
        )
        row = {**rows.event_row(event, self.job.tenant_id), "sequence": sequence}
        await insert(self._connection, "job_events", row)

    async def publish(self, fact: Fact) -> None:
        sequence = await self._connection.fetchval(
            "UPDATE multimodal_job_plans SET fact_sequence = fact_sequence + 1 WHERE id = $1 RETURNING fact_sequence",
            self.job.job_id,
        )
        await self._outbox.add(self._connection, self._encode(replace(fact, sequence=sequence), self.job))


async def insert(connection: asyncpg.Connection, table: str, row: rows.Row, replace_on: tuple[str, ...] = ()) -> None:
    """Insert a row, or replace the one with the same key."""
    places = ", ".join(f"${place}" for place in range(1, len(row) + 1))
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"  # noqa: S608 - names are ours
    if replace_on:
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in row if name not in replace_on)
        statement += f" ON CONFLICT ({', '.join(replace_on)}) DO UPDATE SET {changes}"
    await connection.execute(statement, *row.values())
