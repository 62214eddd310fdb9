"""Several replicas of every context are one mesh: nothing is lost, done twice or forgotten while they are killed.

Jobs with their streams, facts through the outboxes, uploads, selections on a budget that is soon spent, and keys that
are revoked, among kills of replicas. What clients know must agree with what the mesh tells afterwards.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mesh.ids import rng
from tests.chaos.contexts.messages.injector import FaultInjector, disruptions
from tests.chaos.contexts.replicas.accounts import Asset, Revoked
from tests.chaos.contexts.replicas.replica_run import Amounts, ReplicaRun
from tests.chaos.contexts.replicas.work import AFFORDED

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningMesh

SEED = int(os.environ.get("SOMA_SEED", "20261129"))
JOBS = int(os.environ.get("SOMA_JOBS", "240"))
FACTS = int(os.environ.get("SOMA_FACTS", "360"))
KILLS = int(os.environ.get("SOMA_KILLS", "42"))
POISONS = ("malformed", "unreadable", "raises")
LOSS = 0.05


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_three_replicas_of_each_context_are_one_mesh_through_42_kills(three_of_each: RunningMesh) -> None:
    mesh, random_source = three_of_each, rng(SEED)
    injector = FaultInjector(mesh, ())
    amounts = Amounts(uploads=200, purchases=60, revocations=30)
    async with ReplicaRun.open(mesh, SEED, random_source, LOSS) as replica_run:
        messages = replica_run.message_run.make(JOBS, FACTS, POISONS)
        replicas = [name for name in injector.victims() if name.startswith("svc-")]
        outcome = await replica_run.run(
            messages, amounts, injector, disruptions(replicas, KILLS, 0, len(messages), random_source)
        )
    print(outcome)  # noqa: T201 - to be repeated
    assert outcome.faults == []
    assert outcome.report.flaws == []
    assert outcome.report.intact
    assert outcome.report.states == {"COMPLETED": JOBS}
    assert outcome.report.kills.total() == KILLS
    assert len(outcome.evidence.reservations) == AFFORDED
    assert outcome.evidence.anchors > 0


@pytest.mark.timeout(300)
async def test_two_replicas_of_each_context_are_one_mesh_through_a_kill_of_each(two_of_each: RunningMesh) -> None:
    """The quick form, and the planted bugs on the same mesh afterwards."""
    mesh, random_source, jobs = two_of_each, rng(SEED), 10
    injector = FaultInjector(mesh, ())
    async with ReplicaRun.open(mesh, SEED, random_source, LOSS) as replica_run:
        messages = replica_run.message_run.make(jobs, 20, POISONS)
        replicas = [name for name in injector.victims() if name.endswith("-2")]
        amounts = Amounts(uploads=10, purchases=16, revocations=2)
        outcome = await replica_run.run(
            messages, amounts, injector, disruptions(replicas, len(replicas), 0, len(messages), random_source)
        )
        print(outcome)  # noqa: T201 - to be repeated
        assert outcome.faults == []
        assert outcome.report.flaws == []
        assert outcome.report.intact
        assert outcome.report.states == {"COMPLETED": jobs}
        assert outcome.report.kills.total() == len(replicas)
        await replica_run.expire(outcome.evidence.reservations[0].reservation_id)
        swept = (await replica_run.evidence()).account
        assert swept.reserved == outcome.evidence.account.reserved * (AFFORDED - 1) // AFFORDED
    await _planted(mesh)


async def _planted(mesh: RunningMesh) -> None:
    """Clients that send each try under another id, a key that is only said to be revoked, a file that is not there."""
    async with ReplicaRun.open(mesh, SEED, rng(SEED), loss=0.5) as replica_run:
        work, quiet = replica_run.work, FaultInjector(mesh, ())
        work.again = False
        made = (await replica_run.message_run.api.post("/v1/api-keys", json={"display_name": "planted"})).json()
        work.revoked.append(Revoked(made["key_id"], made["secret"]))
        work.uploads.append(Asset("nowhere", "nowhere.txt", ""))
        outcome = await replica_run.run([], Amounts(uploads=0, purchases=6, revocations=0), quiet, ())
    kinds = {
        kind for kind in ("admits", "stored 0 times", "told to nobody") if any(kind in it for it in outcome.faults)
    }
    assert kinds == {"admits", "stored 0 times", "told to nobody"}
