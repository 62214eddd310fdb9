"""Invariant 1: every accepted message gets exactly one answer or one dead letter.

Jobs over REST and facts through the outboxes, among kills and pauses of every program of a whole mesh, the supervisor
included. Clients know the ids that they made and the answers that they got; what the mesh tells afterwards must agree.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mesh.ids import rng
from tests.chaos.messages.facts import HANGS
from tests.chaos.messages.trial import Trial
from tests.chaos.messages.trouble import Trouble, acts

if TYPE_CHECKING:
    from tests.e2e.conftest import Running

SEED = int(os.environ.get("SOMA_SEED", "20261125"))
JOBS = int(os.environ.get("SOMA_JOBS", "800"))
FACTS = int(os.environ.get("SOMA_FACTS", "1200"))
KILLS = int(os.environ.get("SOMA_KILLS", "40"))
POISONS = ("malformed", "unreadable", "raises") * 6 + (HANGS,)
"""In turn; few that hang, since each costs its group a minute and a half before it is given up for good."""


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_each_of_2000_messages_has_one_end_through_40_kills(whole_mesh: Running) -> None:
    dice = rng(SEED)
    trouble = Trouble(whole_mesh, ("--mesh", "--detach", "--port", str(whole_mesh.port)))
    async with Trial.open(whole_mesh, SEED, dice) as trial:
        await trial.stores.plant_hang()
        messages = trial.make(JOBS, FACTS, POISONS)
        began = trial.clock.monotonic()
        await trial.run(messages, trouble, acts(trouble.victims(), KILLS, KILLS // 2, len(messages), dice))
        report = await trial.judge(trouble, trial.clock.monotonic() - began, within_s=600)
    print(report)  # noqa: T201 - to be repeated
    assert report.flaws == []
    assert report.intact
    assert report.states == {"COMPLETED": JOBS}
    assert report.kills.total() == KILLS
    assert report.messages.total() == JOBS + FACTS
