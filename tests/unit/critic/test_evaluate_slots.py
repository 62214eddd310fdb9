"""Assets that wait to be judged hold no bytes, and tenants take turns."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason, SomaError
from mesh.fairness import FairSlots
from mesh.ids import SystemIds
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from svc_critic.app import Evaluate, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.app.evaluate import EvaluationRequest
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind, EvaluatedAsset, EvaluationContext
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scoring import Measurement
from tests.in_memory.critic import MemoryEvaluationStore, MemoryRubricStore


class HeldAssets:
    """Gives an asset when it may, and counts those that were asked for."""

    def __init__(self) -> None:
        self.read_ids: list[str] = []
        self.may_read = asyncio.Event()

    async def read(self, asset_id: str) -> EvaluatedAsset:
        self.read_ids.append(asset_id)
        await self.may_read.wait()
        return EvaluatedAsset(asset_id, "text", "text/plain", b"words")


class Lenient:
    """Finds everything good."""

    name = "lenient"
    kinds = frozenset({AssetKind.TEXT})

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        return EvaluatorResult(tuple(Measurement(dimension, 1.0, "fine") for dimension in Dimension))


class Silent:
    """Counts nothing."""

    def record_evaluation(self, evaluation: object, kind: AssetKind) -> None:
        """Nothing."""


def evaluating(assets: HeldAssets, wait_s: float = 2.0) -> Evaluate:
    """The use case with two slots, one for each tenant."""
    clock = FakeClock()
    return Evaluate(
        assets=assets,
        rubrics=RubricUseCases(MemoryRubricStore(), clock, SystemIds()),
        evaluators=Evaluators([Lenient()]),
        evaluations=MemoryEvaluationStore(),
        metrics=Silent(),
        slots=EvaluationSlots(FairSlots("the critic", 2, per_tenant=1, waiting_per_tenant=64), 1, wait_s),
        clock=clock,
        ids=SystemIds(),
    )


async def test_only_assets_that_are_measured_are_read_and_no_tenant_takes_every_place() -> None:
    assets = HeldAssets()
    evaluate = evaluating(assets)
    asking = [asyncio.create_task(evaluate("greedy", EvaluationRequest(f"g{number}"))) for number in range(60)]
    asking.append(asyncio.create_task(evaluate("innocent", EvaluationRequest("i0"))))
    await eventually(lambda: len(assets.read_ids) == 2)
    assert assets.read_ids == ["g0", "i0"]
    assets.may_read.set()
    assert all(made.passes for made in await asyncio.gather(*asking))


async def test_services_are_refused_at_once_where_more_than_few_of_a_tenant_would_wait() -> None:
    """Regression: a tenant's evaluations waited in the workers of the executor, which other tenants' jobs need."""
    assets = HeldAssets()
    evaluate = evaluating(assets, wait_s=3_600.0)
    first, second = (
        asyncio.create_task(evaluate("greedy", EvaluationRequest(f"g{number}"), by_service=True)) for number in range(2)
    )
    await eventually(lambda: assets.read_ids == ["g0"])
    for number in range(2, 30):
        with pytest.raises(SomaError) as refused:
            await evaluate("greedy", EvaluationRequest(f"g{number}"), by_service=True)
        assert refused.value.reason is Reason.OVERLOADED
        assert refused.value.retry_after_s
    other = asyncio.create_task(evaluate("innocent", EvaluationRequest("i0"), by_service=True))
    await eventually(lambda: assets.read_ids == ["g0", "i0"])
    assets.may_read.set()
    assert all(made.passes for made in await asyncio.gather(first, second, other))
    assert (await evaluate("greedy", EvaluationRequest("g2"), by_service=True)).passes


async def test_a_service_does_not_wait_longer_than_it_may_and_leaves_nothing_behind() -> None:
    assets = HeldAssets()
    evaluate = evaluating(assets, wait_s=0.001)
    first = asyncio.create_task(evaluate("greedy", EvaluationRequest("g0"), by_service=True))
    await eventually(lambda: assets.read_ids == ["g0"])
    for _ in range(3):
        with pytest.raises(SomaError) as refused:
            await evaluate("greedy", EvaluationRequest("g1"), by_service=True)
        assert (refused.value.reason, refused.value.retry_after_s) == (Reason.OVERLOADED, 2.0)
    assets.may_read.set()
    assert (await first).passes
    assert (await evaluate("greedy", EvaluationRequest("g1"), by_service=True)).passes
    assert assets.read_ids == ["g0", "g1"]


async def test_callers_that_are_no_service_wait_in_line() -> None:
    assets = HeldAssets()
    evaluate = evaluating(assets, wait_s=0.001)
    asking = [asyncio.create_task(evaluate("acme", EvaluationRequest(f"a{number}"))) for number in range(5)]
    await eventually(lambda: assets.read_ids == ["a0"])
    assets.may_read.set()
    assert all(made.passes for made in await asyncio.gather(*asking))
