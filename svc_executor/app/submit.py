"""Accepting plans: checking them, and turning them into jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import FieldViolation, Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from svc_executor.app import spans
from svc_executor.app.compile import CompilePlan
from svc_executor.app.ports import Submission
from svc_executor.app.recorder import Recorder, TimelineEntry
from svc_executor.domain.compiler import PlanRefusedError
from svc_executor.domain.job import Job, JobOptions, Step
from svc_executor.domain.timeline import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mesh.clock import Clock
    from mesh.ids import Ids
    from soma_providers.port import JsonValue
    from svc_executor.app.ports import JobStore
    from svc_executor.app.starting import StartJobs
    from svc_executor.domain.compiler import Compiler
    from svc_executor.domain.job import CallerIdentity
    from svc_executor.domain.task_dsl import Plan


@dataclass(frozen=True)
class SubmitRequest:
    """A plan to run, for whom, and within which request.

    `key` is that of the request as it was received; `call_id` is the id of the call, which every call has.
    """

    owner: CallerIdentity
    plan: Mapping[str, JsonValue]
    session_id: str = ""
    key: RequestKey = NO_KEY
    call_id: str = ""
    trace_id: str = ""
    traceparent: str = ""


class SubmitJob:
    """Checks and stores a plan, and starts its job when it is its turn.

    `enabled` false refuses every plan.
    """

    def __init__(
        self,
        store: JobStore,
        starting: StartJobs,
        compiler: Compiler,
        recorder: Recorder,
        *,
        clock: Clock,
        ids: Ids,
        enabled: bool = True,
    ) -> None:
        self._store = store
        self._starting = starting
        self._compile = CompilePlan(compiler)
        self._recorder = recorder
        self._clock = clock
        self._ids = ids
        self._enabled = enabled

    async def __call__(self, request: SubmitRequest) -> Job:
        """The job; raises INVALID_PLAN with every error, IDEMPOTENCY_MISMATCH, FAILED_PRECONDITION when off.

        RATE_LIMITED when the tenant has as many open jobs as it may, OVERLOADED when too many large plans wait.
        """
        if not self._enabled:
            raise SomaError(
                Reason.FAILED_PRECONDITION,
                "Multimodal jobs are switched off here; set SA01_ENABLE_multimodal_capabilities=true to allow them",
            )
        accepted = self._clock.now()
        plan = await self._compiled(request)
        compiled = self._clock.now()
        submission = self._submission(request, plan, accepted)
        job = await self._store.submit(submission)
        if job.job_id == submission.job.job_id:
            spans.record_compilation(job, compiled)
        if not job.state.ended:
            await self._starting.start(job)
        return job

    async def _compiled(self, request: SubmitRequest) -> Plan:
        try:
            return await self._compile(request.owner.tenant_id, request.plan)
        except PlanRefusedError as refused:
            fields = [FieldViolation(error.pointer, f"{error.code}: {error.message}") for error in refused.errors]
            raise SomaError(Reason.INVALID_PLAN, f"{refused}; the details name each", fields=fields) from None

    def _submission(self, request: SubmitRequest, plan: Plan, accepted: datetime) -> Submission:
        job = Job(
            job_id=self._ids.new(),
            owner=request.owner,
            options=_options(plan),
            created_at=accepted,
            title=plan.title,
            session_id=request.session_id,
            trace_id=request.trace_id,
            traceparent=request.traceparent,
            request_id=request.key.request_id or request.call_id,
            steps_total=len(plan.tasks),
        )
        return Submission(
            job=job,
            plan=request.plan,
            steps=[Step(job.job_id, task) for task in plan.tasks],
            first_event=self._recorder.event(job, TimelineEntry(EventType.JOB, "the job is accepted")),
            max_open=self._starting.max_open,
            key=request.key,
        )


def _options(plan: Plan) -> JobOptions:
    return JobOptions(
        max_cost_micro_usd=plan.max_cost_micro_usd,
        max_duration_s=plan.max_duration_s,
        keep_on_failure=plan.keep_on_failure,
        data_classification=plan.data_classification,
        persona=plan.persona,
        capsule=plan.capsule,
        max_cost_tier=plan.max_cost_tier,
    )
