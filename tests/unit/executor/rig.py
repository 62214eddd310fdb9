"""A whole executor in one process, with peers in memory and providers that do what a test says."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from soma_providers.port import Artefact, Failure, InvocationResult, ProbeResult, ProviderError
from soma_providers.runtime.estimates import CatalogueEstimates
from svc_executor.adapters.input_slots import LargeInputSlots
from svc_executor.app.control import ResumeJob
from svc_executor.app.open_run import RunLimits
from svc_executor.app.recorder import Recorder
from svc_executor.app.starting import JobLimits, StartJobs
from svc_executor.app.submit import SubmitJob, SubmitRequest
from svc_executor.app.watch import WatchJob
from svc_executor.domain.compiler import Compiler
from svc_executor.domain.job import CallerIdentity, SelectedCapability
from svc_executor.workflows.use_cases import Ports, use_cases
from tests.in_memory.executor.jobs import MemoryJobs
from tests.in_memory.executor.peers import (
    Candidate,
    MemoryAssets,
    MemoryCritic,
    MemoryMeter,
    MemoryOutcomes,
    MemorySelector,
    NoCredentials,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mesh.clock import Clock
    from soma_providers.port import Invocation, JsonValue
    from svc_executor.app.ports import JobStore, Runner
    from svc_executor.domain.job import Job, StepState
    from svc_executor.domain.run import JobRun
    from svc_executor.domain.timeline import Fact, JobDescription
    from svc_executor.workflows.activities import UseCases

SCHEMA = Path(__file__).parents[3] / "svc_executor" / "schemas" / "task_dsl_v1.json"
OWNER = CallerIdentity("tenant-a", "user-1", ("member",), ("jobs",), "key-1")


def compiler(**options: bool) -> Compiler:
    """The compiler with the published schema."""
    return Compiler(json.loads(SCHEMA.read_text()), **options)


def picture(invocation: Invocation) -> InvocationResult:
    """A result that differs with the key."""
    content = f"{invocation.tool_id} {invocation.idempotency_key}".encode()
    return InvocationResult((Artefact(content, "image/png", "picture.png", "diagram"),), model="m-1")


def text_result(text: str) -> Callable[[Invocation], InvocationResult]:
    """A provider's behaviour: always the same text."""
    return lambda _: InvocationResult(text=text, model="talker")


def down(_: Invocation) -> InvocationResult:
    """A provider's behaviour: it is down."""
    raise ProviderError(Failure.UNAVAILABLE, "it is down")


def states(description: JobDescription) -> dict[str, StepState]:
    """The state of each step."""
    return {step.step_id: step.state for step in description.steps}


class ScriptedProvider:
    """Does what its script says, and remembers what it was asked."""

    def __init__(self, provider: str, script: Callable[[Invocation], InvocationResult] = picture) -> None:
        self.provider = provider
        self.script = script
        self.invocations: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run the script."""
        self.invocations.append(invocation)
        return self.script(invocation)

    async def probe(self) -> ProbeResult:
        """Always well."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class ScriptedCatalogue:
    """A catalogue of providers by adapter name."""

    def __init__(self, providers: Mapping[str, ScriptedProvider]) -> None:
        self.providers = dict(providers)

    def provider(self, adapter: str) -> ScriptedProvider | None:
        """The provider, if there is one."""
        return self.providers.get(adapter)


class IdleRunner:
    """Remembers what it should have run."""

    def __init__(self) -> None:
        self.started: list[JobRun] = []
        self.cancelled: list[tuple[JobRun, str]] = []
        self.closed: list[tuple[JobRun, str]] = []
        self.lost: set[JobRun] = set()

    async def start(self, job_run: JobRun) -> None:
        """Remember a start."""
        self.started.append(job_run)

    async def cancel(self, job_run: JobRun, reason: str) -> None:
        """Remember a wish to stop."""
        self.cancelled.append((job_run, reason))

    async def is_running(self, job_run: JobRun) -> bool:
        """Whether it was started and not lost since."""
        return job_run in self.started and job_run not in self.lost

    async def close(self, job_run: JobRun, failure: str) -> None:
        """Remember a run to close."""
        self.closed.append((job_run, failure))


def capability(tool: str, provider: str = "local") -> SelectedCapability:
    """A capability whose adapter has the tool's name."""
    return SelectedCapability(f"{tool}@{provider}", tool, provider, tool, model="m-1", license="MIT")


DEFAULT_CANDIDATES = (
    Candidate("text_chat", capability("talker")),
    Candidate("image_diagram", capability("mermaid")),
    Candidate("image_diagram", capability("plantuml")),
    Candidate("image_photo", capability("painter", "remote"), prices={"images": 40_000}),
    Candidate("document", capability("composer")),
)


@dataclass
class Rig:
    """The parts of an executor, to be changed before it is used."""

    candidates: tuple[Candidate, ...] = DEFAULT_CANDIDATES
    cap_micro_usd: int | None = None
    store: JobStore = field(default_factory=MemoryJobs)
    assets: MemoryAssets = field(default_factory=MemoryAssets)
    critic: MemoryCritic = field(default_factory=MemoryCritic)
    meter: MemoryMeter = field(default_factory=MemoryMeter)
    runner: Runner = field(default_factory=IdleRunner)
    limits: RunLimits = field(default_factory=RunLimits)
    job_limits: JobLimits = field(default_factory=JobLimits)
    heavy: set[str] = field(default_factory=set)
    clock: Clock = field(default_factory=SystemClock)
    outcomes: MemoryOutcomes = field(default_factory=MemoryOutcomes)

    def __post_init__(self) -> None:
        """Wire the parts."""
        self.selector = MemorySelector(self.candidates, cap_micro_usd=self.cap_micro_usd)
        self.catalogue = ScriptedCatalogue(
            {
                candidate.capability.adapter: ScriptedProvider(candidate.capability.provider)
                for candidate in self.candidates
            }
        )
        if "talker" in self.catalogue.providers:
            self.catalogue.providers["talker"].script = text_result("Words.")
        self.recorder = Recorder(self.clock)

    @property
    def facts(self) -> list[Fact]:
        """What other contexts were told."""
        assert isinstance(self.store, MemoryJobs)
        return self.store.facts

    @property
    def started(self) -> list[JobRun]:
        """Runs that an idle runner should have started."""
        assert isinstance(self.runner, IdleRunner)
        return self.runner.started

    def ports(self) -> Ports:
        """What the use cases need."""
        return Ports(
            self.store,
            self.selector,
            self.assets,
            self.critic,
            self.catalogue,
            NoCredentials(),
            self.meter,
            self.clock,
            self.outcomes,
            LargeInputSlots(self.clock),
            CatalogueEstimates(self.catalogue, ()),
        )

    @property
    def starting(self) -> StartJobs:
        """What starts runs."""
        return StartJobs(self.store, self.runner, self.job_limits, self.heavy.__contains__)

    @property
    def resume(self) -> ResumeJob:
        """What runs jobs again."""
        return ResumeJob(self.store, self.runner, self.assets, self.recorder, self.starting)

    def use_cases(self) -> UseCases:
        """The use cases of a run."""
        return use_cases(self.ports(), self.limits, self.starting, provider_timeout_s=5.0)

    async def submit(self, plan: Mapping[str, JsonValue], request_id: str = "") -> Job:
        """Submit a plan as the owner."""
        submit = SubmitJob(self.store, self.starting, compiler(), self.recorder, clock=self.clock, ids=SystemIds())
        key = RequestKey.for_request(request_id, repr(plan).encode())
        return await submit(SubmitRequest(OWNER, plan, key=key, trace_id="0" * 32))

    async def ended(self, job: Job, within_s: float = 60.0) -> JobDescription:
        """Wait for the end of a job and give everything recorded of it."""
        watch = WatchJob(self.store, self.recorder)
        async with asyncio.timeout(within_s):
            async for _ in watch(job.tenant_id, job.job_id, 0):
                pass
        return await self.store.describe(job.tenant_id, job.job_id)

    async def run(self, *tasks: Mapping[str, JsonValue], **fields: JsonValue) -> JobDescription:
        """Submit a plan of these tasks and wait for its end."""
        return await self.ended(await self.submit(plan(*tasks, **fields)))

    def calls(self, adapter: str) -> list[Invocation]:
        """What a provider was asked."""
        return self.catalogue.providers[adapter].invocations


def plan(*tasks: Mapping[str, JsonValue], **fields: JsonValue) -> dict[str, JsonValue]:
    """A plan of these tasks."""
    return {"version": "1.0", "tasks": [dict(task) for task in tasks], **fields}


def task(name: str, step_type: str = "generate_diagram", **fields: JsonValue) -> dict[str, JsonValue]:
    """A task."""
    return {"task_id": name, "step_type": step_type, **fields}
