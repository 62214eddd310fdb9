"""Events only mark assets as gone; a few jobs at a time lose the text, and one that fails holds up no other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import FakeClock
from svc_executor.adapters.postgres.erasure import PostgresAssetTexts, PostgresErasures
from svc_executor.app import erasure
from svc_executor.app.erasure import EraseTexts
from tests.in_memory.executor.peers import MemoryMeter
from tests.integration.executor.test_erasure import CLOCK, IDS, SECRET, mark, postgres, rig, tombstone, written
from tests.integration.executor.test_retention import retention
from tests.unit.executor.rig import text_result
from tests.unit.executor.test_run_steps import TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime

    import pytest

    from svc_executor.domain.erasure import ErasedAsset, ErasedTexts
    from tests.unit.executor.rig import Rig

__all__ = ["postgres", "rig"]


async def texts(postgres: Postgres) -> list[str]:
    """The texts that are left, of steps."""
    async with postgres.transaction(SYSTEM) as connection:
        return [row["text"] for row in await connection.fetch("SELECT text FROM job_steps WHERE text <> ''")]


async def fail() -> None:
    raise RuntimeError("the rows of this job cannot be read")


class Watched(PostgresErasures):
    """Notes what is claimed; the texts of one job cannot be removed, or are once `hinder` returns."""

    def __init__(self, postgres: Postgres, broken_job: str = "") -> None:
        super().__init__(postgres)
        self.broken_job, self.claimed = broken_job, list[str]()
        self.hinder: Callable[[], Awaitable[object]] = fail

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        asset = await super().claim(now, until)
        self.claimed += [asset.asset_id] if asset else []
        return asset

    @asynccontextmanager
    async def texts(self, tenant_id: str) -> AsyncIterator[PostgresAssetTexts]:
        async with super().texts(tenant_id) as found:
            erase = found.erase

            async def erase_unless_broken(job_id: str, asset_id: str) -> ErasedTexts:
                if job_id == self.broken_job:
                    await self.hinder()
                return await erase(job_id, asset_id)

            found.erase = erase_unless_broken  # type: ignore[method-assign]
            yield found


def sweep(erasures: PostgresErasures, jobs_at_once: int = 20) -> EraseTexts:
    return EraseTexts(erasures, MemoryMeter(), CLOCK, jobs_at_once=jobs_at_once)


async def shared(rig: Rig, text: str, jobs: int) -> tuple[str, list[str]]:
    """An asset with a text, and so many jobs that have it."""
    rig.catalogue.providers["talker"].script = text_result(text)
    made = [await written(rig, text=text) for _ in range(jobs)]
    (asset_id,) = {asset_id for _, asset_id in made}
    return asset_id, [run.job_run.job_id for run, _ in made]


async def test_an_event_changes_no_job_and_the_sweep_a_few_at_a_time(postgres: Postgres, rig: Rig) -> None:
    asset_id, _ = await shared(rig, SECRET, jobs=3)
    await mark(postgres, tombstone(asset_id))
    assert await texts(postgres) == [SECRET] * 3
    erasures = Watched(postgres)
    await sweep(erasures, jobs_at_once=1)()
    assert await texts(postgres) == []
    assert erasures.claimed == [asset_id] * 3
    assert await erasures.claim(CLOCK.now() + timedelta(days=1), CLOCK.now()) is None


async def test_a_text_that_is_recorded_meanwhile_is_not_kept(postgres: Postgres, rig: Rig) -> None:
    asset_id, _ = await shared(rig, SECRET, jobs=2)
    await mark(postgres, tombstone(asset_id))
    await written(rig, text="")
    assert await texts(postgres) == [SECRET] * 2
    await sweep(PostgresErasures(postgres))()
    assert await texts(postgres) == []


async def test_assets_take_turns(postgres: Postgres, rig: Rig) -> None:
    assets = [(await shared(rig, text, jobs=2))[0] for text in ("one", "two", "three")]
    for asset_id in assets:
        await mark(postgres, tombstone(asset_id))
    erasures = Watched(postgres)
    await sweep(erasures, jobs_at_once=1)()
    assert erasures.claimed == assets * 2
    assert await texts(postgres) == []


async def test_a_job_that_fails_holds_up_neither_its_asset_nor_others(postgres: Postgres, rig: Rig) -> None:
    first, jobs = await shared(rig, "one", jobs=4)
    second, _ = await shared(rig, "two", jobs=2)
    for asset_id in (first, second):
        await mark(postgres, tombstone(asset_id))
    erasures = Watched(postgres, broken_job=jobs[0])
    await sweep(erasures, jobs_at_once=3)()
    assert await texts(postgres) == ["one"]
    # Three at once, of which one fails, the three one by one, the fourth, and then nothing more for a minute.
    assert erasures.claimed == [first, second, *[first] * 5]
    later = await erasures.claim(CLOCK.now() + timedelta(seconds=61), CLOCK.now())
    assert later is not None
    assert (later.tenant_id, later.asset_id) == (TENANT, first)
    erasures.broken_job = ""
    await sweep(erasures)()
    assert await texts(postgres) == []


async def test_a_job_that_takes_longer_than_several_may_is_done_by_itself(
    postgres: Postgres, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset_id, (job_id,) = await shared(rig, SECRET, jobs=1)
    await mark(postgres, tombstone(asset_id))
    monkeypatch.setattr(erasure, "_BATCH_TIMEOUT_S", 5.0)
    erasures, tried = Watched(postgres, job_id), asyncio.Event()

    async def never_at_first() -> None:
        if not tried.is_set():
            tried.set()
            await asyncio.Event().wait()

    erasures.hinder = never_at_first
    await sweep(erasures)()
    assert (await texts(postgres), erasures.claimed) == ([], [asset_id] * 2)


async def test_erasures_that_are_not_finished_are_counted_and_remembered(postgres: Postgres, rig: Rig) -> None:
    asset_id, (job_id,) = await shared(rig, SECRET, jobs=1)
    await mark(postgres, tombstone(asset_id))
    meter = MemoryMeter()
    erase = EraseTexts(Watched(postgres, job_id), meter, CLOCK)
    await erase()
    await erase.count_unfinished()
    await retention(postgres, CLOCK.now() + timedelta(days=100)).run()
    await erase.count_unfinished()
    assert meter.entries == ["unfinished erasures 1"] * 2
    await EraseTexts(PostgresErasures(postgres), meter, FakeClock(CLOCK.now() + timedelta(minutes=2)))()
    await erase.count_unfinished()
    assert meter.entries[-1] == "unfinished erasures 0"


async def test_an_event_wakes_the_sweep(postgres: Postgres, rig: Rig) -> None:
    asset_id, _ = await shared(rig, SECRET, jobs=1)
    erasures = PostgresErasures(postgres)
    async with erasures.listening():
        assert await erasures.wait(20.0)  # it listens now
        await mark(postgres, tombstone(IDS.new()))  # of which no job has a text
        await mark(postgres, tombstone(asset_id))
        assert await erasures.wait(20.0)
    assert not await erasures.wait(0.0)


async def test_an_event_does_not_wait_for_an_erasure_from_its_job(postgres: Postgres, rig: Rig) -> None:
    _, (job_id,) = await shared(rig, SECRET, jobs=1)
    async with PostgresErasures(postgres).texts(TENANT) as locking:
        await locking.lock_jobs([job_id])
        async with asyncio.timeout(20):
            await mark(postgres, tombstone(IDS.new(), job_id))
