"""An asset that many jobs have is erased a few jobs at a time, and holds up neither events nor other erasures."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM, Postgres
from svc_executor.adapters.postgres.erasure import PostgresErasures, PostgresTexts
from svc_executor.app.erasure import ContinueErasures, EraseTexts
from svc_executor.events.assets import AssetIntake
from tests.integration.executor.test_erasure import CLOCK, SECRET, postgres, rig, tombstone, written
from tests.unit.executor.rig import said
from tests.unit.executor.test_run_steps import TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from mesh.events.event import Event
    from svc_executor.domain.erasure import ErasedAsset
    from tests.unit.executor.rig import Rig

__all__ = ["postgres", "rig"]
ONE_AT_A_TIME = EraseTexts(CLOCK, jobs_at_once=1)


async def hear(postgres: Postgres, event: Event) -> None:
    async with postgres.transaction(event.tenant_id) as connection:
        await AssetIntake(ONE_AT_A_TIME, PostgresTexts).handlers()[event.type](connection, event)


async def texts(postgres: Postgres) -> list[str]:
    """The texts that are left, of steps."""
    async with postgres.transaction(SYSTEM) as connection:
        return [row["text"] for row in await connection.fetch("SELECT text FROM job_steps WHERE text <> ''")]


class Counted(PostgresErasures):
    """Notes what is claimed, and fails in the transactions of one asset."""

    def __init__(self, postgres: Postgres, broken: str = "") -> None:
        super().__init__(postgres)
        self.broken, self.claimed = broken, list[str]()

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        asset = await super().claim(now, until)
        self.claimed += [asset.asset_id] if asset else []
        return asset

    @asynccontextmanager
    async def texts(self, tenant_id: str) -> AsyncIterator[PostgresTexts]:
        if self.claimed[-1] == self.broken:
            raise RuntimeError("the jobs of this asset cannot be read")
        async with super().texts(tenant_id) as found:
            yield found


async def test_an_event_erases_a_few_jobs_and_the_sweep_the_others(postgres: Postgres, rig: Rig) -> None:
    assets = {(await written(rig))[1] for _ in range(4)}
    (asset_id,) = assets
    await hear(postgres, tombstone(asset_id))
    assert await texts(postgres) == [SECRET] * 3
    erasures = Counted(postgres)
    await ContinueErasures(erasures, ONE_AT_A_TIME, CLOCK)()
    assert await texts(postgres) == []
    assert erasures.claimed == [asset_id] * 3
    assert await erasures.claim(CLOCK.now() + timedelta(days=1), CLOCK.now()) is None


async def test_a_text_that_is_recorded_meanwhile_is_not_kept(postgres: Postgres, rig: Rig) -> None:
    _, asset_id = await written(rig)
    await written(rig)
    await hear(postgres, tombstone(asset_id))
    await written(rig, text="")
    assert await texts(postgres) == [SECRET]
    await ContinueErasures(PostgresErasures(postgres), ONE_AT_A_TIME, CLOCK)()
    assert await texts(postgres) == []


async def test_erasures_take_turns_and_one_that_fails_holds_up_no_other(postgres: Postgres, rig: Rig) -> None:
    assets = []
    for text in ("one", "two", "three"):
        rig.shelf.providers["talker"].script = said(text)
        (asset_id,) = {(await written(rig, text=text))[1] for _ in range(3)}
        assets.append(asset_id)
        await hear(postgres, tombstone(asset_id))
    erasures = Counted(postgres, broken=assets[0])
    await ContinueErasures(erasures, ONE_AT_A_TIME, CLOCK)()
    assert erasures.claimed == [assets[0], assets[1], assets[2], assets[1], assets[2]]
    assert await texts(postgres) == ["one", "one"]
    later = await erasures.claim(CLOCK.now() + timedelta(seconds=61), CLOCK.now())
    assert later is not None
    assert (later.tenant_id, later.asset_id) == (TENANT, assets[0])
