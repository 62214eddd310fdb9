"""Jobs: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.executor.v1 import job_service_pb2
from soma_providers.port import Artefact
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.app.close_run import CloseRun
from svc_executor.app.compensate import Compensator
from svc_executor.app.control import CancelJob, ResumeJob
from svc_executor.app.provider_calls import ProviderCalls
from svc_executor.app.read import ListJobs
from svc_executor.app.recorder import Recorder
from svc_executor.app.starting import StartJobs
from svc_executor.app.submit import SubmitJob
from svc_executor.app.watch import WatchJob
from svc_executor.bootstrap import compiler_of
from svc_executor.domain.peers import Upload
from svc_executor.domain.run import CloseRunInput, JobRun
from svc_executor.events.published import EventEncoder
from svc_executor.rpc.job_service import JobServicer, JobUseCases
from svc_executor.settings import ExecutorSettings
from tests.in_memory.executor.peers import MemoryAssets, MemoryMeter, MemoryOutcomes, MemorySelector
from tests.integration.contexts.audit.observer import CLOCK, IDS, SECRET, TENANT, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


class Idle:
    """Runs nothing."""

    async def start(self, job_run: JobRun) -> None:
        """Nothing."""

    async def cancel(self, job_run: JobRun, reason: str) -> None:
        """Nothing."""


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """A job that is cancelled, and one that fails and runs again."""
    store = PostgresJobs(observer.postgres, EventEncoder(IDS, CLOCK), auditor)
    recorder, peers, runner = Recorder(CLOCK), MemoryAssets(), Idle()
    meter, calls = MemoryMeter(), ProviderCalls(store, MemoryOutcomes(), CLOCK)
    compensator = Compensator(store, peers, MemorySelector([]), recorder, meter=meter, clock=CLOCK)
    starting = StartJobs(store, runner)
    close = CloseRun(store, peers, compensator, recorder, calls, starting=starting, meter=meter, clock=CLOCK)
    use_cases = JobUseCases(
        store=store,
        submit=SubmitJob(store, starting, compiler_of(ExecutorSettings()), recorder, clock=CLOCK, ids=IDS),
        list=ListJobs(store),
        cancel=CancelJob(store, runner),
        resume=ResumeJob(store, runner, peers, recorder, starting),
        watch=WatchJob(store, recorder),
    )
    service, servicer = "soma.executor.v1.JobService", JobServicer(use_cases)
    submit = job_service_pb2.SubmitJobRequest()
    task = {"task_id": "a", "step_type": "generate_text", "task_type": "text_chat", "params": {"prompt": SECRET}}
    submit.plan.update({"version": "1.0", "tasks": [task]})  # type: ignore[list-item]
    job_id = (await observer.call(service, servicer, "SubmitJob", submit)).job_id  # type: ignore[attr-defined]
    cancel = job_service_pb2.CancelJobRequest(job_id=job_id, reason="not needed")
    await observer.call(service, servicer, "CancelJob", cancel)
    await peers.store(Upload(Artefact(b"x", "text/plain", "x", "text"), "r", job_id, "a", "e"))
    await close(CloseRunInput(JobRun(TENANT, job_id, 1), "FAILED", SECRET))
    await observer.note("")
    told = observer.told.pop("")
    for operation, action in (
        ("a run of a job ends", "job.end"),
        ("what a run left behind is undone", "compensation.run"),
    ):
        observer.told[operation] = [each for each in told if each[1].action == action]
    await observer.call(service, servicer, "ResumeJob", job_service_pb2.ResumeJobRequest(job_id=job_id))


AUDIT = ContextAudit(
    drive,
    audited={
        "JobService.SubmitJob": Entry("job.create", "job"),
        "JobService.CancelJob": Entry("job.cancel", "job"),
        "JobService.ResumeJob": Entry("job.resume", "job"),
    },
    unprompted={
        "a run of a job ends": Entry("job.end", "job"),
        "what a run left behind is undone": Entry("compensation.run", "asset"),
    },
)
