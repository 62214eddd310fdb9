"""Invariant 1: every accepted message gets exactly one answer or one dead letter.

Jobs over REST and facts through the outboxes, among kills and pauses of every program of a whole mesh, the supervisor
included. Clients know the ids that they made and the answers that they got; what the mesh tells afterwards must agree.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mesh.ids import rng
from tests.chaos.contexts.messages.facts import HANGS
from tests.chaos.contexts.messages.injector import FaultInjector, disruptions
from tests.chaos.contexts.messages.message_run import MessageRun

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningMesh

SEED = int(os.environ.get("SOMA_SEED", "20261125"))
JOBS = int(os.environ.get("SOMA_JOBS", "800"))
FACTS = int(os.environ.get("SOMA_FACTS", "1200"))
KILLS = int(os.environ.get("SOMA_KILLS", "40"))
POISONS = ("malformed", "unreadable", "raises") * 6 + (HANGS,)
"""In turn; few that hang, since each costs its group a minute and a half before it is given up for good."""


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_each_of_2000_messages_has_one_end_through_40_kills(whole_mesh: RunningMesh) -> None:
    random_source = rng(SEED)
    injector = FaultInjector(whole_mesh, ("--mesh", "--detach", "--port", str(whole_mesh.port)))
    async with MessageRun.open(whole_mesh, SEED, random_source) as message_run:
        await message_run.stores.plant_hang()
        messages = message_run.make(JOBS, FACTS, POISONS)
        began = message_run.clock.monotonic()
        await message_run.run(
            messages, injector, disruptions(injector.victims(), KILLS, KILLS // 2, len(messages), random_source)
        )
        report = await message_run.judge(injector, message_run.clock.monotonic() - began, within_s=600)
    print(report)  # noqa: T201 - to be repeated
    assert report.flaws == []
    assert report.intact
    assert report.states == {"COMPLETED": JOBS}
    assert report.kills.total() == KILLS
    assert report.messages.total() == JOBS + FACTS
