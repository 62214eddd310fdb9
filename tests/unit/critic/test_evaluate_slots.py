"""Assets that wait to be judged hold no bytes, and tenants take turns."""

from __future__ import annotations

import asyncio

from mesh.fairness import FairSlots
from mesh.ids import SystemIds
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from svc_critic.adapters.memory import MemoryEvaluations, MemoryRubrics
from svc_critic.app import Evaluate, Evaluators, RubricBook
from svc_critic.app.evaluate import Order
from svc_critic.domain.judgement import Facet
from svc_critic.domain.ports import Examination
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.specimen import Brief, Kind, Specimen


class HeldAssets:
    """Gives an asset when it may, and counts those that were asked for."""

    def __init__(self) -> None:
        self.read_ids: list[str] = []
        self.may_read = asyncio.Event()

    async def read(self, asset_id: str) -> Specimen:
        self.read_ids.append(asset_id)
        await self.may_read.wait()
        return Specimen(asset_id, "text", "text/plain", b"words")


class Lenient:
    """Finds everything good."""

    name = "lenient"
    kinds = frozenset({Kind.TEXT})

    async def examine(self, tenant_id: str, specimen: Specimen, brief: Brief) -> Examination:
        return Examination(tuple(Facet(dimension, 1.0, "fine") for dimension in Dimension))


class Silent:
    """Counts nothing."""

    def judged(self, evaluation: object, kind: Kind) -> None:
        """Nothing."""


async def test_only_assets_that_are_measured_are_read_and_no_tenant_takes_every_place() -> None:
    assets, clock = HeldAssets(), FakeClock()
    evaluate = Evaluate(
        assets=assets,
        rubrics=RubricBook(MemoryRubrics(), clock, SystemIds()),
        evaluators=Evaluators([Lenient()]),
        evaluations=MemoryEvaluations(),
        meter=Silent(),
        slots=FairSlots("the critic", 2, per_tenant=1, waiting_per_tenant=64),
        clock=clock,
        ids=SystemIds(),
    )
    asking = [asyncio.create_task(evaluate("greedy", Order(f"g{number}"))) for number in range(60)]
    asking.append(asyncio.create_task(evaluate("innocent", Order("i0"))))
    await eventually(lambda: len(assets.read_ids) == 2)
    assert assets.read_ids == ["g0", "i0"]
    assets.may_read.set()
    assert all(made.passes for made in await asyncio.gather(*asking))
