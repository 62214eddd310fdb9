"""What verdicts quote of an erased asset is nowhere in the critic; facts that were told before are another matter."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.events.topics import facts_of
from mesh.settings import PostgresSettings
from mesh.stores.migrations import migrate
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing.contract import eventually
from svc_critic.adapters.postgres.erasure import PostgresPendingErasures
from svc_critic.adapters.postgres.retention import RETENTION_RULES
from svc_critic.domain.evaluation import ListQuery
from tests.integration.critic.quoting import CLOCK, HANDLERS, IDS, SECRET, TENANT, QuotingCritic, tombstone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncpg

    from mesh.events.event import Event
    from soma_local.testing.engines import Databases
    from tests.conftest import Database

ROOT = Path(__file__).parents[3]
TOLD_BEFORE = "outbox"
"""The table of facts, redacted, that were told before the erasure; its rows go a day after they were sent."""


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("critic")) as opened:
        yield opened


@pytest.fixture
def critic(postgres: Postgres) -> QuotingCritic:
    return QuotingCritic(postgres)


async def test_a_verdict_quotes_an_erased_asset_no_longer(critic: QuotingCritic) -> None:
    asset_id = IDS.new()
    made = await critic.evaluate_asset(asset_id, "r-1")
    assert SECRET in str(made)
    assert SECRET in await critic.stored()
    await critic.apply(tombstone(asset_id))
    await critic.erase()
    assert SECRET not in await critic.stored(TOLD_BEFORE)
    left = await critic.evaluate.get(TENANT, made.evaluation_id)
    assert await critic.evaluate.list(TENANT, ListQuery(asset_id=asset_id)) == [left]
    assert await critic.evaluate_asset(asset_id, "r-1") == left
    assert left == made.without_quotes()
    assert [item.code for item in left.feedback] == [item.code for item in made.feedback] != []
    assert {item.message for item in left.feedback} | {score.evidence for score in left.criteria} == {""}
    assert not any(item.hint for item in left.feedback)


async def test_an_asset_that_is_erased_while_it_is_measured_is_not_quoted(critic: QuotingCritic) -> None:
    asset_id = IDS.new()

    async def erase() -> None:
        await critic.apply(tombstone(asset_id))
        await critic.erase()

    critic.prose.before_end = erase
    made = await critic.evaluate_asset(asset_id, "r-1")
    assert made == await critic.evaluate.get(TENANT, made.evaluation_id) == made.without_quotes()
    stored = await critic.stored()
    assert SECRET not in stored
    assert b"Jane Doe".hex() not in stored


async def test_an_erasure_waits_for_a_verdict_that_is_being_recorded(postgres: Postgres) -> None:
    """No row of the verdict is to be seen yet."""
    asset_id, marking = IDS.new(), list[asyncio.Task[None]]()

    class SlowOutbox(Outbox):
        async def add(self, connection: asyncpg.Connection, *events: Event) -> None:
            marking.append(asyncio.create_task(critic.apply(tombstone(asset_id))))
            await eventually(waits)
            await super().add(connection, *events)

    async def waits() -> bool:
        async with postgres.transaction(SYSTEM) as connection:
            query = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            return bool(await connection.fetchval(query))

    critic = QuotingCritic(postgres, SlowOutbox())
    await critic.evaluate_asset(asset_id)
    await asyncio.gather(*marking)
    await critic.erase()
    assert SECRET not in await critic.stored(TOLD_BEFORE)


async def test_verdicts_of_another_tenant_and_on_other_assets_stay(critic: QuotingCritic) -> None:
    asset_id = IDS.new()
    theirs = await critic.evaluate_asset(asset_id, tenant_id="umbrella")
    other = await critic.evaluate_asset(IDS.new())
    await critic.evaluate_asset(asset_id)
    await critic.apply(tombstone(asset_id))
    await critic.erase()
    assert await critic.evaluate.get("umbrella", theirs.evaluation_id) == theirs
    assert await critic.evaluate.get(TENANT, other.evaluation_id) == other
    assert SECRET in str(await critic.evaluate_asset(asset_id, tenant_id="umbrella"))


async def test_the_event_is_applied_once_and_again_without_harm(postgres: Postgres, critic: QuotingCritic) -> None:
    asset_id = IDS.new()
    made = await critic.evaluate_asset(asset_id)
    bus, codec = MemoryBus(), Codec()
    dead_letter_sink = DeadLetterPublisher(Outbox(), ids=IDS, clock=CLOCK)
    consumer = Consumer(
        bus, postgres, codec, "critic", (facts_of("assets"),), HANDLERS, dead_letter_sink=dead_letter_sink, clock=CLOCK
    )

    async def all_applied() -> bool:
        async with postgres.transaction(SYSTEM) as connection:
            query = "SELECT (SELECT count(*) FROM inbox) = (SELECT count(*) FROM outbox WHERE topic = $1)"
            return bool(await connection.fetchval(query, facts_of("assets")))

    async with Relay(postgres, bus, codec, CLOCK, poll_s=0.1), consumer:
        for _ in range(2):
            async with postgres.transaction(TENANT) as connection:
                await Outbox().add(connection, tombstone(asset_id))
            await eventually(all_applied)
            await critic.erase()
            assert await critic.evaluate.get(TENANT, made.evaluation_id) == made.without_quotes()
    assert await PostgresPendingErasures(postgres).count_unfinished(10) == 0


async def test_many_verdicts_are_changed_some_at_a_time(postgres: Postgres, critic: QuotingCritic) -> None:
    asset_id = IDS.new()
    made = [await critic.evaluate_asset(asset_id) for _ in range(5)]
    await critic.apply(tombstone(asset_id))
    erasures, now = PostgresPendingErasures(postgres), CLOCK.now()
    asset = await erasures.claim(now, now)
    assert asset is not None
    await erasures.erase_next(asset, 2, now)
    listed = await critic.evaluate.list(TENANT, ListQuery(asset_id=asset_id))
    assert [SECRET in str(verdict) for verdict in listed] == [True, True, True, False, False]
    assert await erasures.count_unfinished(10) == 1
    await critic.erase(at_once=2)
    listed = await critic.evaluate.list(TENANT, ListQuery(asset_id=asset_id))
    assert listed == [verdict.without_quotes() for verdict in reversed(made)]
    assert await erasures.count_unfinished(10) == 0


async def test_an_asset_without_verdicts_is_nothing_to_do(postgres: Postgres, critic: QuotingCritic) -> None:
    await critic.apply(tombstone(IDS.new()))
    assert await PostgresPendingErasures(postgres).count_unfinished(10) == 0


async def test_a_verdict_has_the_id_of_its_asset_as_the_store_writes_it(critic: QuotingCritic) -> None:
    """Regression: a verdict that was asked for in capitals would not be found by the event."""
    asset_id = IDS.new()
    assert (await critic.evaluate_asset(asset_id.upper())).asset_id == asset_id


async def test_marks_go_by_age_once_their_erasure_is_finished(postgres: Postgres, critic: QuotingCritic) -> None:
    asset_id = IDS.new()
    await critic.evaluate_asset(asset_id)
    await critic.apply(tombstone(asset_id))

    async def left(days: int) -> int:
        async def terms() -> Mapping[str, RetentionPeriods]:
            return {"evaluations": RetentionPeriods(days)}

        await Retention(postgres, RETENTION_RULES, terms, CLOCK).run()
        async with postgres.transaction(SYSTEM) as connection:
            await connection.execute("DELETE FROM retention_runs")
            return int(await connection.fetchval("SELECT count(*) FROM erased_assets"))

    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute("UPDATE erased_assets SET erased_at = erased_at - $1::interval", timedelta(days=2))
    assert await left(1) == 1
    await critic.erase()
    assert await left(3) == 1
    assert await left(1) == 0


async def test_verdicts_on_assets_that_were_erased_before_are_found_by_what_the_upgrade_says(
    databases: Databases,
) -> None:
    page = (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"```sql\n(SET search_path TO critic.*?)```", page, re.DOTALL)
    dsn = await databases.empty()
    await migrate(dsn, "critic", [ROOT / "svc_critic" / "migrations"])
    async with Postgres.open(PostgresSettings(dsn=SecretStr(dsn), schema_name="critic")) as postgres:
        critic, asset_id = QuotingCritic(postgres), IDS.new()
        await critic.evaluate_asset(asset_id)
        async with postgres.transaction(SYSTEM) as connection:
            await connection.execute("CREATE SCHEMA assets")
            await connection.execute(
                "CREATE TABLE assets.multimodal_assets AS SELECT 'acme' AS tenant_id, id::uuid AS asset_id, "
                f"'tombstoned' AS status, now() AS deleted_at FROM (VALUES ('{asset_id}'), ('{IDS.new()}')) AS g (id)"
            )
            await connection.execute(name)
            assert await connection.fetchval("SELECT count(*) FROM erased_assets") == 1
        await critic.erase()
        assert SECRET not in await critic.stored(TOLD_BEFORE)
