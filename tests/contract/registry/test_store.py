"""What every store of the registry promises: the one in memory and Postgres alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from mesh.stores.postgres import SYSTEM
from mesh.testing.contract import eventually
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.app.ports import OwnedLadderKey
from svc_registry.domain import PLATFORM, CapabilityKey, Health, HealthState
from tests.contract.registry.samples import KEY, LADDER, MERMAID, NOW, PRIVATE, REQUEST, failed, unaudited

if TYPE_CHECKING:
    from tests.contract.registry.samples import BothStore


async def test_a_capability_comes_back_as_it_was_written(store: BothStore) -> None:
    assert await store.save_capability(MERMAID, 0, "alice")
    assert await store.get_capability(MERMAID.key) == MERMAID
    assert [item async for page in store.list_capabilities() for item in page] == [MERMAID]


async def test_an_unknown_capability_is_none(store: BothStore) -> None:
    assert await store.get_capability(CapabilityKey("nothing@nobody")) is None


async def test_a_second_first_write_is_refused(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    assert not await store.save_capability(replace(MERMAID, display_name="other"), 0, "bob")


async def test_a_write_over_an_older_version_is_refused(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    second = replace(MERMAID, version=2, display_name="second")
    assert await store.save_capability(second, 1, "alice")
    assert not await store.save_capability(replace(second, display_name="lost"), 1, "bob")
    assert await store.get_capability(MERMAID.key) == second


async def test_health_changes_nothing_else(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    degraded = Health(HealthState.DEGRADED, 1, NOW, "slow", version=1, open_circuits={"p1": NOW})
    changed = await store.update_health(MERMAID.key, lambda _: degraded, unaudited)
    assert changed == await store.get_capability(MERMAID.key) == replace(MERMAID, health=degraded)


async def test_health_of_an_unknown_or_deleted_capability_is_refused(store: BothStore) -> None:
    assert await store.update_health(CapabilityKey("nothing@nobody"), failed, unaudited) is None
    await store.save_capability(MERMAID, 0, "alice")
    await store.save_capability(replace(MERMAID, version=2, deleted_at=NOW), 1, "alice")
    assert await store.update_health(MERMAID.key, failed, unaudited) is None


async def test_reports_at_once_lose_no_failure(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    await asyncio.gather(*(store.update_health(MERMAID.key, failed, unaudited) for _ in range(20)))
    found = await store.get_capability(MERMAID.key)
    assert found is not None
    assert (found.health.failure_count, found.health.version) == (20, 20)


async def test_an_edit_leaves_health_as_it_is(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    before = await store.get_capability(MERMAID.key)
    assert before is not None
    await store.update_health(MERMAID.key, failed, unaudited)
    assert await store.save_capability(replace(before, version=2, description="edited"), 1, "alice")
    found = await store.get_capability(MERMAID.key)
    assert found is not None
    assert (found.description, found.health.failure_count, found.health.circuit_open) == ("edited", 1, True)


async def test_a_ladder_comes_back_as_it_was_written(store: BothStore) -> None:
    assert await store.save_ladder(LADDER, 0)
    assert await store.get_ladder(PLATFORM, KEY) == LADDER
    assert await store.get_ladder("acme", KEY) is None
    assert [item async for page in store.list_ladders() for item in page] == [LADDER]


async def test_a_ladder_written_over_an_older_version_is_refused(store: BothStore) -> None:
    await store.save_ladder(LADDER, 0)
    assert not await store.save_ladder(replace(LADDER, capability_ids=()), 0)
    assert await store.save_ladder(replace(LADDER, capability_ids=("d2@local",), version=2), 1)
    assert not await store.save_ladder(replace(LADDER, version=2), 1)


async def test_a_repeated_request_is_remembered_for_its_tenant(store: BothStore) -> None:
    assert await store.find_result(REQUEST) is None
    await store.save_result(REQUEST, "mermaid@local")
    assert await store.find_result(REQUEST) == "mermaid@local"
    assert await store.find_result(replace(REQUEST, tenant_id="umbrella")) is None


async def test_a_request_is_remembered_with_what_it_writes(store: BothStore) -> None:
    assert not await store.save_capability(replace(MERMAID, version=2), 1, "alice", REQUEST)
    assert await store.find_result(REQUEST) is None
    await store.save_capability(MERMAID, 0, "alice", REQUEST)
    assert await store.find_result(REQUEST) == "mermaid@local"


async def test_a_request_of_another_tenant_than_the_owner_is_remembered_with_what_it_writes(store: BothStore) -> None:
    operator = replace(REQUEST, tenant_id="dev")
    assert await store.save_capability(PRIVATE, 0, "root", operator)
    assert await store.get_capability(PRIVATE.key) == PRIVATE
    assert await store.find_result(operator) == "mermaid@local"
    assert await store.find_result(REQUEST) is None


async def test_a_call_without_a_request_id_is_not_remembered(store: BothStore) -> None:
    await store.save_result(replace(REQUEST, key=NO_KEY), "mermaid@local")
    assert await store.find_result(replace(REQUEST, key=NO_KEY)) is None


async def test_a_request_with_another_body_is_a_mismatch(store: BothStore) -> None:
    await store.save_result(REQUEST, "mermaid@local")
    with pytest.raises(SomaError) as refused:
        await store.find_result(replace(REQUEST, key=RequestKey.for_request("r1", b"another")))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_changes_are_announced(store: BothStore) -> None:
    heard: list[object] = []
    resets: list[None] = []
    async with store.listen(heard.append, lambda: resets.append(None)):
        if isinstance(store, PostgresStore):
            await eventually(lambda: bool(resets))
        await store.save_capability(MERMAID, 0, "alice")
        await store.save_capability(PRIVATE, 0, "alice")
        await store.update_health(PRIVATE.key, failed, unaudited)
        await store.save_ladder(LADDER, 0)
        await eventually(lambda: len(heard) == 4)
    assert heard == [MERMAID.key, PRIVATE.key, PRIVATE.key, OwnedLadderKey(PLATFORM, KEY)]


async def test_a_refused_write_announces_nothing_and_leaves_no_event(postgres_store: PostgresStore) -> None:
    await postgres_store.save_capability(MERMAID, 0, "alice")
    await postgres_store.save_capability(MERMAID, 0, "alice")
    async with postgres_store._postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE topic = 'registry.events'") == 1
