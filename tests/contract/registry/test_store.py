"""What every store of the registry promises: the one in memory and Postgres alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.events.outbox import Outbox
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_registry.adapters.memory import MemoryStore
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.bootstrap import capability_changed
from svc_registry.domain import (
    PLATFORM,
    Capability,
    Constraints,
    Health,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Modality,
    Price,
    PriceList,
    PriceUnit,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.settings import PostgresSettings
    from svc_registry.domain import ChangeFeed, Store

    class BothStore(Store, ChangeFeed): ...


NOW = datetime(2026, 3, 1, tzinfo=UTC)
MERMAID = Capability(
    tool_id="mermaid",
    provider="local",
    kind=Kind.TOOL,
    modalities=(Modality.DIAGRAM,),
    task_types=("image_diagram",),
    input_schema={"type": "object", "required": ["diagram"]},
    constraints=Constraints(formats=("png", "svg"), max_duration_s=1.5, source_languages=("mermaid",)),
    price_list=PriceList("v1", NOW, (Price(PriceUnit.CALL, 5),)),
    tags=("local",),
    version=1,
    created_at=NOW,
    updated_at=NOW,
)
KEY = LadderKey(Modality.DIAGRAM, "image_diagram")
LADDER = Ladder(KEY, ("mermaid@local", "d2@local"), PLATFORM, 1, "", NOW)


@pytest.fixture
async def postgres_store(
    database: Callable[[str], Awaitable[PostgresSettings]],
) -> AsyncIterator[PostgresStore]:
    async with Postgres.open(await database("registry")) as postgres:
        yield PostgresStore(postgres, Outbox(), auditor("registry", AuditRecorded), capability_changed)


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> BothStore:
    found: BothStore = request.getfixturevalue(f"{request.param}_store")
    return found


async def test_a_capability_comes_back_as_it_was_written(store: BothStore) -> None:
    assert await store.save_capability(MERMAID, 0, "alice")
    assert await store.capability("mermaid@local") == MERMAID
    assert list(await store.capabilities()) == [MERMAID]


async def test_an_unknown_capability_is_none(store: BothStore) -> None:
    assert await store.capability("nothing@nobody") is None


async def test_a_second_first_write_is_refused(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    assert not await store.save_capability(replace(MERMAID, display_name="other"), 0, "bob")


async def test_a_write_over_an_older_version_is_refused(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    second = replace(MERMAID, version=2, display_name="second")
    assert await store.save_capability(second, 1, "alice")
    assert not await store.save_capability(replace(second, display_name="lost"), 1, "bob")
    assert await store.capability("mermaid@local") == second


async def test_health_changes_nothing_else(store: BothStore) -> None:
    await store.save_capability(MERMAID, 0, "alice")
    sick = Health(HealthState.DEGRADED, 1, NOW, "slow")
    assert await store.save_health("mermaid@local", sick, "")
    assert await store.capability("mermaid@local") == replace(MERMAID, health=sick)


async def test_health_of_an_unknown_capability_is_refused(store: BothStore) -> None:
    assert not await store.save_health("nothing@nobody", Health(), "")


async def test_a_ladder_comes_back_as_it_was_written(store: BothStore) -> None:
    assert await store.save_ladder(LADDER, 0)
    assert await store.ladder(PLATFORM, KEY) == LADDER
    assert await store.ladder("acme", KEY) is None
    assert list(await store.ladders()) == [LADDER]


async def test_a_ladder_written_over_an_older_version_is_refused(store: BothStore) -> None:
    await store.save_ladder(LADDER, 0)
    assert not await store.save_ladder(replace(LADDER, capability_ids=()), 0)
    assert await store.save_ladder(replace(LADDER, capability_ids=("d2@local",), version=2), 1)
    assert not await store.save_ladder(replace(LADDER, version=2), 1)


async def test_a_repeated_request_is_remembered_for_its_tenant(store: BothStore) -> None:
    assert await store.replayed("acme", "r1", "digest") is None
    await store.remember("acme", "r1", "digest", "mermaid@local")
    assert await store.replayed("acme", "r1", "digest") == "mermaid@local"
    assert await store.replayed("umbrella", "r1", "digest") is None


async def test_a_request_with_another_body_is_a_mismatch(store: BothStore) -> None:
    await store.remember("acme", "r1", "digest", "mermaid@local")
    with pytest.raises(SomaError) as refused:
        await store.replayed("acme", "r1", "other")
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_changes_are_announced(store: BothStore) -> None:
    heard: list[tuple[str, str]] = []
    resets: list[None] = []
    async with store.listen(lambda kind, id_: heard.append((kind, id_)), lambda: resets.append(None)):
        if isinstance(store, PostgresStore):
            await eventually(lambda: bool(resets))
        await store.save_capability(MERMAID, 0, "alice")
        await store.save_ladder(LADDER, 0)
        await eventually(lambda: len(heard) == 2)
    assert heard == [("capability", "mermaid@local"), ("ladder", "/diagram/image_diagram")]


async def test_a_refused_write_announces_nothing_and_leaves_no_event(postgres_store: PostgresStore) -> None:
    await postgres_store.save_capability(MERMAID, 0, "alice")
    await postgres_store.save_capability(MERMAID, 0, "alice")
    async with postgres_store._postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT count(*) FROM outbox WHERE topic = 'registry.events'") == 1
