"""Invariant 1, quick form: every accepted message gets exactly one answer or one dead letter.

`tests/chaos/contexts/messages` has the long form, with every program killed. The planted bugs are run here, on the same
mesh and with the same reconciliation.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds, rng
from tests.chaos.contexts.messages.facts import Fact
from tests.chaos.contexts.messages.injector import Disruption, FaultInjector
from tests.chaos.contexts.messages.ledger import FlawKind
from tests.chaos.contexts.messages.message_run import MessageRun

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningMesh

SEED = int(os.environ.get("SOMA_SEED", "20261125"))
POISONS = ("malformed", "unreadable", "raises")
JOBS, FACTS = 30, 20
DISRUPTIONS = (
    Disruption(5, "services"),
    Disruption(15, "valkey"),
    Disruption(25, "postgres", pause=6),
    Disruption(35, "services"),
)


@pytest.mark.timeout(240)
async def test_each_message_has_one_end_through_kills(mesh: RunningMesh) -> None:
    injector = FaultInjector(mesh, ("--detach", "--port", str(mesh.port)))
    async with MessageRun.open(mesh, SEED, rng(SEED)) as message_run:
        messages = message_run.make(JOBS, FACTS, POISONS, share=0.15)
        began = message_run.clock.monotonic()
        await message_run.run(messages, injector, DISRUPTIONS)
        report = await message_run.judge(injector, message_run.clock.monotonic() - began, within_s=60)
    print(report)  # noqa: T201 - to be repeated
    assert report.flaws == []
    assert report.intact
    assert report.states == {"COMPLETED": JOBS}
    assert report.messages == {"job": JOBS, "fact": FACTS - len(POISONS), "poison": len(POISONS)}
    assert report.tally.retries > 0


@pytest.mark.timeout(120)
async def test_the_planted_bugs_are_caught(mesh: RunningMesh) -> None:
    """A client with another id for each try, a fact told under two ids, and events marked but never applied."""
    ids = SystemIds()
    marked, twice, forgotten = (ids.new() for _ in range(3))
    quiet = FaultInjector(mesh, ())
    async with MessageRun.open(mesh, SEED, rng(SEED), loss=0.5) as message_run:
        message_run.names = lambda _: ids.new()
        for event_id in (marked, forgotten):
            await message_run.stores.mark(event_id)
        facts = [Fact(marked, "critic", "k"), Fact(twice, "assets", "k"), Fact(forgotten, "registry", "k", "raises")]
        await message_run.fact_publisher.place(facts[1], event_id=ids.new())
        await message_run.run([*(ids.new() for _ in range(6)), *facts], quiet, ())
        report = await message_run.judge(quiet, 0, within_s=30)
    wrongs = {(flaw.message_id, flaw.wrong) for flaw in report.flaws}
    made = Counter(job.message_id for job in report.found.jobs)
    doubled = {id_ for id_, count in made.items() if count > 1}
    assert doubled
    assert {(id_, FlawKind.DOUBLED) for id_ in (twice, *doubled)} <= wrongs
    assert {(id_, FlawKind.LOST) for id_ in (marked, forgotten)} <= wrongs
    assert len(made) == 6
