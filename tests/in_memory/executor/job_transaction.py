"""One transaction on one job in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mesh.idempotency import RequestKey
    from soma_providers.port import JsonValue
    from svc_executor.domain.job import Execution, Job, Step, StepSummary
    from svc_executor.domain.provider_call import ProviderCall
    from svc_executor.domain.timeline import Compensation, Fact, JobEvent


@dataclass
class JobRows:
    """What is kept of one job."""

    job: Job
    plan: Mapping[str, JsonValue]
    steps: dict[str, Step]
    executions: dict[tuple[str, int], Execution] = field(default_factory=dict)
    compensations: dict[tuple[int, int], Compensation] = field(default_factory=dict)
    events: list[JobEvent] = field(default_factory=list)
    calls: dict[str, ProviderCall] = field(default_factory=dict)
    fact_sequence: int = 0

    def copy(self) -> JobRows:
        """The rows, to be changed apart from these."""
        return replace(
            self,
            steps=dict(self.steps),
            executions=dict(self.executions),
            compensations=dict(self.compensations),
            events=list(self.events),
            calls=dict(self.calls),
        )


class MemoryJobTransaction:
    """A transaction on a copy of the rows, which replaces them at the end."""

    def __init__(
        self, rows: JobRows, requests: dict[tuple[str, str], str], open_jobs: Callable[[str], list[Job]]
    ) -> None:
        self.rows = rows
        self.requests = requests
        self._open_jobs = open_jobs
        self.facts: list[Fact] = []

    @property
    def job(self) -> Job:
        """The job as it stands in this transaction."""
        return self.rows.job

    async def steps(self) -> list[Step]:
        return list(self.rows.steps.values())

    async def step_summaries(self) -> list[StepSummary]:
        return [step.summary for step in self.rows.steps.values()]

    async def step_with_inputs(self, step_id: str) -> dict[str, Step]:
        step = self.rows.steps[step_id]
        return {name: self.rows.steps[name] for name in (*step.task.depends_on, step_id)}

    async def step(self, step_id: str) -> Step:
        return self.rows.steps[step_id]

    async def execution(self, step_id: str, attempt: int) -> Execution | None:
        return self.rows.executions.get((step_id, attempt))

    async def execution_by_id(self, execution_id: str) -> Execution | None:
        return next((each for each in self.rows.executions.values() if each.execution_id == execution_id), None)

    async def executions(self, names: Sequence[tuple[str, int]]) -> list[Execution]:
        return [_without_content(self.rows.executions[name]) for name in names if name in self.rows.executions]

    async def last_executions(self) -> list[Execution]:
        by_number = sorted(self.rows.executions.values(), key=lambda execution: execution.attempt)
        return [_without_content(each) for each in {each.step_id: each for each in by_number}.values()]

    async def executions_to_compensate(self, asset_ids: Sequence[str]) -> list[Execution]:
        made = self.rows.executions.values()
        return [
            _without_content(each) for each in made if not each.settled or not set(asset_ids).isdisjoint(each.asset_ids)
        ]

    async def committed_micro_usd(self) -> int:
        made = self.rows.executions.values()
        return sum(each.cost_micro_usd if each.settled else each.reserved_micro_usd for each in made)

    async def recorded_assets(self) -> set[str]:
        return {asset_id for each in self.rows.executions.values() for asset_id in each.asset_ids}

    async def unreported(self) -> list[Execution]:
        return [execution for execution in self.rows.executions.values() if not execution.reported]

    async def compensation(self, run: int, position: int) -> Compensation | None:
        return self.rows.compensations.get((run, position))

    async def compensations(self, run: int) -> list[Compensation]:
        return [entry for _, entry in sorted(self.rows.compensations.items()) if entry.run == run]

    async def unfinished_compensations(self) -> list[Compensation]:
        return [entry for _, entry in sorted(self.rows.compensations.items()) if not entry.done]

    async def save_job(self, job: Job) -> None:
        self.rows.job = job

    async def save_step(self, step: Step) -> None:
        self.rows.steps[step.step_id] = step

    async def save_execution(self, execution: Execution) -> None:
        if execution.content is None:
            raise ValueError("an attempt that was read without its content is not saved")
        self.rows.executions[execution.step_id, execution.attempt] = execution

    async def save_compensation(self, compensation: Compensation) -> None:
        self.rows.compensations[compensation.run, compensation.position] = compensation

    async def call(self, execution_id: str) -> ProviderCall | None:
        return self.rows.calls.get(execution_id)

    async def calls(self) -> list[ProviderCall]:
        return list(self.rows.calls.values())

    async def save_call(self, call: ProviderCall) -> None:
        self.rows.calls[call.execution_id] = call

    async def remove_call(self, execution_id: str) -> None:
        self.rows.calls.pop(execution_id, None)

    async def record_request(self, key: RequestKey) -> bool:
        known = self.requests.get((self.job.tenant_id, key.request_id))
        if known is not None:
            key.require_same(known)
        elif key.request_id:
            self.requests[self.job.tenant_id, key.request_id] = key.digest
        return known is None

    async def has_open(self, count: int) -> bool:
        return len(self._open_jobs(self.job.tenant_id)) >= count

    async def append(self, event: JobEvent) -> None:
        self.rows.events.append(replace(event, sequence=len(self.rows.events) + 1))

    async def publish(self, fact: Fact) -> None:
        self.rows.fact_sequence += 1
        self.facts.append(replace(fact, sequence=self.rows.fact_sequence))


def _without_content(execution: Execution) -> Execution:
    return replace(execution, content=None)
