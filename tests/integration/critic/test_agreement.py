"""Do the heuristics judge like a person? Measured on samples that were not looked at while bounds were chosen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.processes import ProcessLimits, ProcessPool
from svc_critic.adapters.heuristics import heuristics
from svc_critic.app import Evaluators
from svc_critic.domain.rubric import builtin_rubric
from svc_critic.domain.scoring import score_measurements
from tests.integration.critic.samples import HELD_OUT, Family, families

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_critic.domain.scoring import ScoringResult
    from tests.integration.critic.samples import Sample

AGREEMENT = 0.9
NAMED = 0.8


@dataclass(frozen=True)
class Judged:
    sample: Sample
    verdict: ScoringResult

    @property
    def agrees(self) -> bool:
        return self.verdict.passes == self.sample.good

    @property
    def codes(self) -> set[str]:
        return {note.code for note in self.verdict.feedback}

    def __str__(self) -> str:
        wanted = self.sample.code or "good"
        return f"{self.sample.name}: wanted {wanted}, scored {self.verdict.score:.2f} with {sorted(self.codes)}"


@pytest.fixture(scope="module")
async def evaluators() -> AsyncIterator[Evaluators]:
    limits = ProcessLimits(per_tenant=2, memory_mb=1_024, waiting_per_tenant=1_000, time_s=100.0)
    async with ProcessPool.open("critic", limits, SystemClock()) as pool:
        yield Evaluators(heuristics(pool, 2))


@pytest.fixture(scope="module", params=families(), ids=lambda family: family.name)
async def judged(request: pytest.FixtureRequest, evaluators: Evaluators) -> list[Judged]:
    """The next sample is made while those before it are examined."""
    family: Family = request.param
    examining = []
    for theme in HELD_OUT:
        for sample in family.make(theme):
            examining.append(asyncio.create_task(examined(evaluators, sample)))
            await asyncio.sleep(0)
    return await asyncio.gather(*examining)


async def examined(evaluators: Evaluators, sample: Sample) -> Judged:
    evaluator, _ = evaluators.choose(sample.asset)
    measurements = (await evaluator.measure("acme", sample.asset, sample.context)).measurements
    return Judged(sample, score_measurements(builtin_rubric(sample.asset.asset_type), measurements))


async def test_verdicts_agree_with_labels(judged: list[Judged]) -> None:
    wrong = [str(each) for each in judged if not each.agrees]
    assert len(wrong) <= (1 - AGREEMENT) * len(judged), wrong


async def test_good_samples_are_not_all_that_is_known(judged: list[Judged]) -> None:
    """Agreement means something only where both labels are there, and each is met."""
    for label in (True, False):
        of_label = [each for each in judged if each.sample.good is label]
        wrong = [str(each) for each in of_label if not each.agrees]
        assert of_label
        assert len(wrong) <= 0.25 * len(of_label), wrong


async def test_feedback_names_what_is_wrong(judged: list[Judged]) -> None:
    bad = [each for each in judged if each.sample.code]
    assert bad
    unnamed = [str(each) for each in bad if each.sample.code not in each.codes]
    assert len(unnamed) <= (1 - NAMED) * len(bad), unnamed


async def test_every_finding_says_what_to_do(judged: list[Judged]) -> None:
    assert {each.verdict.passes for each in judged} == {True, False}
    for each in judged:
        assert each.verdict.passes or each.verdict.feedback, str(each)
        for note in each.verdict.feedback:
            assert note.message.endswith("."), note
            assert note.code.isupper(), note
