"""One run: messages from many clients, programs that are killed and paused meanwhile, and the reconciliation."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import httpx

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from mesh.testing.contract import eventually
from tests.chaos.contexts.messages.clients import JobClient, ResponseLoss, Tally, stable_request_id
from tests.chaos.contexts.messages.facts import HANGS, Fact, FactPublisher, fact
from tests.chaos.contexts.messages.ledger import reconcile
from tests.chaos.contexts.messages.mesh_reader import MeshReader, Stores

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.chaos.contexts.messages.clients import RequestIds
    from tests.chaos.contexts.messages.injector import Disruption, FaultInjector
    from tests.chaos.contexts.messages.ledger import Findings, Flaw, Sent
    from tests.e2e.conftest import RunningMesh

SHARE = 0.05
"""Of the facts: poison."""
LOSS = 0.05
CLIENTS = 12
_TIMEOUT = httpx.Timeout(10.0, connect=3.0, read=14.0)  # a heartbeat comes every 10 s


@dataclass(frozen=True)
class Report:
    """What was done, and what came of it."""

    seed: int
    messages: Counter[str]
    kills: Counter[str]
    pauses: Counter[str]
    tally: Tally
    states: Counter[str]
    found: Findings
    flaws: list[Flaw]
    intact: bool
    seconds: float

    @property
    def wrongs(self) -> Counter[str]:
        """Flaws, counted by kind."""
        return Counter(flaw.wrong.value for flaw in self.flaws)

    @property
    def causes(self) -> Counter[str]:
        """Causes of dead letters."""
        return Counter(dead_letter.cause for dead_letter in self.found.dead_letters)

    def __str__(self) -> str:
        tally = self.tally
        lines = [
            f"seed {self.seed}: {self.messages.total()} messages {dict(self.messages)} in {self.seconds:.0f} s",
            f"kills {self.kills.total()}: {dict(sorted(self.kills.items()))}",
            f"pauses {self.pauses.total()}: {dict(sorted(self.pauses.items()))}",
            f"requests {tally.tries}, retries {tally.retries}",
            f"answers lost {tally.lost.total()}: {dict(sorted(tally.lost.items()))}",
            f"put off {tally.put_off.total()}: {dict(sorted(tally.put_off.items()))}",
            f"found {len(self.found.jobs)} jobs {dict(self.states)}, {len(self.found.entries)} entries",
            f"found {len(self.found.dead_letters)} dead letters {dict(sorted(self.causes.items()))}",
            f"audit chain {'intact' if self.intact else 'broken'}",
            f"flaws {len(self.flaws)}: {dict(self.wrongs)}",
            *(f"  {flaw}" for flaw in self.flaws[:50]),
        ]
        return "\n".join(lines)


@dataclass
class MessageRun:
    """A tenant of its own on a mesh, and what its clients know."""

    mesh: RunningMesh
    seed: int
    random_source: random.Random
    tenant_id: str
    api: httpx.AsyncClient
    stores: Stores
    mesh_reader: MeshReader
    fact_publisher: FactPublisher
    tally: Tally
    response_loss: ResponseLoss
    names: RequestIds = stable_request_id
    sent: list[Sent] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    clock: SystemClock = field(default_factory=SystemClock)
    ids: SystemIds = field(default_factory=SystemIds)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, mesh: RunningMesh, seed: int, random_source: random.Random, loss: float = LOSS
    ) -> AsyncIterator[MessageRun]:
        """A run on a mesh that is up. `loss` is the share of good answers that are lost on their way."""
        clock, tally, tenant_id = SystemClock(), Tally(), f"messages-{SystemIds().new()}"
        response_loss = ResponseLoss(loss, random_source, tally)
        key = await asyncio.to_thread(mesh.tenant_key, tenant_id, roles=("admin", "platform_admin"))
        trust = ssl.create_default_context(cafile=str(mesh.authority))
        headers = {"authorization": f"Bearer {key}"}
        async with (
            httpx.AsyncClient(
                base_url=mesh.url, headers=headers, verify=trust, timeout=_TIMEOUT, trust_env=False
            ) as api,
            FactPublisher.open(mesh, tenant_id, tally, response_loss, clock) as fact_publisher,
        ):
            yield cls(
                mesh,
                seed,
                random_source,
                tenant_id,
                api,
                Stores(mesh),
                MeshReader(api, clock),
                fact_publisher,
                tally,
                response_loss,
            )

    def make(self, jobs: int, facts: int, poisons: Sequence[str], share: float = SHARE) -> list[str | Fact]:
        """Messages in an order of chance: a job by its id, a fact as it is; a share of these is poison."""
        kinds = [poisons[number % len(poisons)] for number in range(round(facts * share))]
        kinds += [""] * (facts - len(kinds))
        self.facts = [fact(self.ids.new(), kind, self.random_source) for kind in kinds]
        made: list[str | Fact] = [*self.facts, *(self.ids.new() for _ in range(jobs))]
        self.random_source.shuffle(made)
        return made

    async def run(
        self, messages: Sequence[str | Fact], injector: FaultInjector, disruptions: Sequence[Disruption]
    ) -> None:
        """Send all messages and see each to its end, among kills and pauses."""
        waiting = iter(messages)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._client(waiting))
            group.create_task(self._disturb(injector, disruptions))
        await injector.over()

    async def judge(self, injector: FaultInjector, seconds: float, *, within_s: float) -> Report:
        """Wait until the mesh is done with everything, then reconcile."""
        on_bus = [each.message_id for each in self.facts if each.poison == "malformed"]
        with suppress(AssertionError):  # the reconciliation tells what is missing
            await eventually(partial(self._settled, on_bus), within_s=within_s)
        found = await self.mesh_reader.findings(each.message_id for each in self.facts if each.poison == HANGS)
        return Report(
            seed=self.seed,
            messages=Counter(each.kind.value for each in self.sent),
            kills=injector.kills,
            pauses=injector.pauses,
            tally=self.tally,
            states=Counter(job.state for job in found.jobs),
            found=found,
            flaws=reconcile(self.sent, found),
            intact=await self.mesh_reader.intact(),
            seconds=seconds,
        )

    async def _client(self, waiting: Iterator[str | Fact]) -> None:
        jobs = JobClient(self.api, self.tally, self.response_loss, self.clock, self.names)
        for message in waiting:
            done = await (jobs.run(message) if isinstance(message, str) else self.fact_publisher.place(message))
            self.sent.append(done)
            self.tally.done += 1

    async def _disturb(self, injector: FaultInjector, disruptions: Sequence[Disruption]) -> None:
        for disruption in disruptions:
            await eventually(partial(self._done, disruption.due), within_s=600)
            if disruption.pause:
                await injector.pause(disruption.victim, partial(self._tried, self.tally.tries + disruption.pause))
            else:
                await injector.kill(disruption.victim)

    def _done(self, count: int) -> bool:
        return self.tally.done >= count

    def _tried(self, count: int) -> bool:
        return self.tally.tries >= count

    async def _settled(self, on_bus: Sequence[str]) -> bool:
        """Whether nothing is under way, and each job has its receipt."""
        if await self.stores.pending(on_bus):
            return False
        receipts = await self.mesh_reader.receipts()
        return all(receipts[job_id] for each in self.sent if each.kind == "job" for job_id in each.answers)
