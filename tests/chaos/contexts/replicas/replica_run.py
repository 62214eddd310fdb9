"""One run among replicas: jobs, facts and the other work at once, while some are killed; then all accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mesh.testing.contract import eventually
from tests.chaos.contexts.messages.facts import SOURCE_CONTEXTS
from tests.chaos.contexts.messages.message_run import MessageRun
from tests.chaos.contexts.replicas.accounts import Account, Asset, Evidence, Reservation, faults
from tests.chaos.contexts.replicas.members import ASKED, Replicas
from tests.chaos.contexts.replicas.work import AFFORDED, PRICE, Work

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.chaos.contexts.messages.facts import Fact
    from tests.chaos.contexts.messages.injector import Disruption, FaultInjector
    from tests.chaos.contexts.messages.message_run import Report
    from tests.e2e.conftest import RunningMesh

AT_ONCE = 4
_SETTLED_WITHIN_S = 300.0
ROUTES = {
    "assets": "/v1/multimodal/assets",
    "critic": "/v1/multimodal/rubrics",
    "executor": "/v1/multimodal/jobs",
    "gateway": "/v1/api-keys",
    "provenance": "/v1/admin/receipts",
    "registry": "/v1/multimodal/ladders",
    "selector": "/v1/selections",
}
"""A cheap read of each context."""
_ACCOUNT = "SELECT * FROM selector.budget_accounts WHERE tenant_id = $1 AND scope = 'tool'"
_RESERVATIONS = "SELECT * FROM selector.reservations WHERE tenant_id = $1 AND modality = 'tool'"
_UNSENT = "SELECT " + " + ".join(
    f"(SELECT count(*) FROM {source_context}.outbox WHERE sent_at IS NULL AND dlq_id = '')"
    for source_context in SOURCE_CONTEXTS
)
_LAPSE = "UPDATE selector.reservations SET expires_at = now() - interval '1 hour' WHERE reservation_id = $1"


@dataclass(frozen=True)
class Amounts:
    """How much of each kind of work is done beside the messages."""

    uploads: int
    purchases: int
    revocations: int


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    report: Report
    evidence: Evidence
    faults: list[str]
    work: Work

    def __str__(self) -> str:
        held = Counter(each.state for each in self.evidence.reservations)
        lines = [
            str(self.report),
            f"uploads {len(self.work.uploads)}, stored {len(self.evidence.stored)}",
            f"selections {len(self.work.purchases)}, reservations {dict(held)}, {self.evidence.account}",
            f"revoked keys {len(self.work.revoked)}, admitted {len(self.evidence.admitted)}",
            f"calls by replica {dict(sorted(self.evidence.served.items()))}",
            f"events unsent {self.evidence.unsent}, anchors {self.evidence.anchors}",
            f"faults {len(self.faults)}",
            *(f"  {fault}" for fault in self.faults[:50]),
        ]
        return "\n".join(lines)


@dataclass
class ReplicaRun:
    """A tenant of its own on a mesh of replicas."""

    message_run: MessageRun
    work: Work
    members: Replicas

    @classmethod
    @asynccontextmanager
    async def open(
        cls, mesh: RunningMesh, seed: int, random_source: random.Random, loss: float
    ) -> AsyncIterator[ReplicaRun]:
        """On a mesh that runs; `loss` is the share of good answers that are lost on their way."""
        async with AsyncExitStack() as stack:
            message_run = await stack.enter_async_context(MessageRun.open(mesh, seed, random_source, loss))
            members = await stack.enter_async_context(Replicas.open(mesh))
            work = Work(message_run, members)
            await work.prepare()
            yield cls(message_run, work, members)

    async def run(
        self,
        messages: Sequence[str | Fact],
        amounts: Amounts,
        injector: FaultInjector,
        disruptions: Sequence[Disruption],
    ) -> Outcome:
        """Do everything at once, see all of it to its end, and look at what there is then."""
        began = self.message_run.clock.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.message_run.run(messages, injector, disruptions))
            group.create_task(_repeat(self.work.upload, amounts.uploads))
            group.create_task(_repeat(self.work.buy, amounts.purchases))
            group.create_task(_repeat(self.work.revoke, amounts.revocations))
        seconds = self.message_run.clock.monotonic() - began
        report = await self.message_run.judge(injector, seconds, within_s=_SETTLED_WITHIN_S)
        evidence = await self.evidence()
        return Outcome(report, evidence, faults(self.work.uploads, self.work.purchases, PRICE, evidence), self.work)

    async def evidence(self) -> Evidence:
        """All that is found afterwards."""
        await self.spread()
        async with self.message_run.stores.open() as connection:
            account = await connection.fetchrow(_ACCOUNT, self.message_run.tenant_id)
            rows = await connection.fetch(_RESERVATIONS, self.message_run.tenant_id)
            unsent = await connection.fetchval(_UNSENT)
        reservations = [
            Reservation(str(row["reservation_id"]), row["state"], row["reserved_micro_usd"], row["settled_micro_usd"])
            for row in rows
        ]
        spent = (account["reserved_micro_usd"], account["settled_micro_usd"]) if account else (0, 0)
        return Evidence(
            stored=[
                Asset(each["asset_id"], each["filename"], each["checksum_sha256"])
                async for each in self.message_run.mesh_reader._pages(ROUTES["assets"], "assets")
                if each["filename"].endswith(".txt")
            ],
            account=Account(PRICE * AFFORDED, *spent),
            reservations=reservations,
            admitted=[
                (member.name, key.key_id)
                for key in self.work.revoked
                for member in self.members.all
                if await self.members.admits(member, key.secret) is not False
            ],
            served=await self.members.calls(),
            unsent=unsent,
            conflicts=round(await self.members.total("audit_anchor_conflicts_total")),
            anchors=round(await self.members.total("audit_anchors_total")),
        )

    async def spread(self) -> None:
        """Call every context through the edge until each of its replicas has answered; gives up quietly."""
        for context in ASKED:
            try:
                await eventually(partial(self._all_answered, context), within_s=60)
            except AssertionError:
                continue  # the evidence tells who served nothing

    async def _all_answered(self, context: str) -> bool:
        for _ in range(len(self.members.all) // len(ASKED)):
            await self.message_run.api.get(ROUTES[context])
        served = await self.members.calls()
        return all(served[member.name] for member in self.members.all if member.context == context)

    async def expire(self, reservation_id: str) -> None:
        """Let a reservation be over, and wait until a sweep gives its amount back."""
        async with self.message_run.stores.open() as connection:
            await connection.execute(_LAPSE, reservation_id)

        async def over() -> bool:
            async with self.message_run.stores.open() as connection:
                rows = await connection.fetch(_RESERVATIONS, self.message_run.tenant_id)
            return all(row["state"] != "held" for row in rows if str(row["reservation_id"]) == reservation_id)

        await eventually(over, within_s=_SETTLED_WITHIN_S)


async def _repeat(work: Callable[[], Awaitable[None]], times: int) -> None:
    """Do it so often, a few at once."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with slots:
            await work()

    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(one())
