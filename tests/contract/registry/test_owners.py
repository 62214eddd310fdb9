"""Capabilities of several owners in one store: name spaces, quotas and deletion."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from svc_registry.domain import PLATFORM, Ladder, Lifecycle
from svc_registry.domain.quotas import RECORDS_PER_CAPABILITY
from tests.contract.registry.samples import KEY, MERMAID, NOW, PRIVATE, QUOTAS, failed, unaudited

if TYPE_CHECKING:
    from svc_registry.domain import Capability
    from tests.contract.registry.samples import BothStore


def own(number: int, tenant_id: str = "acme") -> Capability:
    """A private capability of its own id."""
    return replace(
        PRIVATE, tool_id=f"t{number}", tenant_id=tenant_id, allow=replace(PRIVATE.allow, tenants=(tenant_id,))
    )


async def test_owners_use_the_same_id_beside_each_other(store: BothStore) -> None:
    umbrella = own(1, "umbrella")
    assert await store.save_capability(MERMAID, 0, "root")
    assert await store.save_capability(PRIVATE, 0, "alice")
    assert await store.save_capability(replace(umbrella, tool_id="mermaid"), 0, "bob")
    assert await store.get_capability(PRIVATE.key) == PRIVATE
    assert await store.get_capability(MERMAID.key) == MERMAID
    await store.update_health(PRIVATE.key, failed, unaudited)
    assert await store.get_capability(MERMAID.key) == MERMAID


async def test_a_deleted_capability_leaves_its_record(store: BothStore) -> None:
    await store.save_capability(PRIVATE, 0, "alice")
    deleted = replace(PRIVATE, version=2, deleted_at=NOW)
    assert await store.save_capability(deleted, 1, "alice")
    assert await store.get_capability(PRIVATE.key) == deleted
    assert [item async for page in store.list_capabilities() for item in page] == [deleted]


async def test_a_tenant_has_no_more_capabilities_than_its_quota(store: BothStore) -> None:
    for number in range(QUOTAS.capabilities):
        await store.save_capability(own(number), 0, "alice")
    with pytest.raises(SomaError) as refused:
        await store.save_capability(own(9), 0, "alice")
    assert refused.value.reason is Reason.FAILED_PRECONDITION
    assert refused.value.metadata["quota"] == "capabilities"
    assert await store.get_capability(own(9).key) is None
    assert await store.save_capability(replace(own(0), version=2, lifecycle=Lifecycle.DISABLED), 1, "alice")
    assert await store.save_capability(own(0, "umbrella"), 0, "bob")
    for number in range(5):
        assert await store.save_capability(replace(MERMAID, tool_id=f"p{number}"), 0, "root")


async def test_deleting_makes_room_until_the_records_are_too_many(store: BothStore) -> None:
    for number in range(QUOTAS.capabilities * RECORDS_PER_CAPABILITY):
        await store.save_capability(own(number), 0, "alice")
        await store.save_capability(replace(own(number), version=2, deleted_at=NOW), 1, "alice")
    with pytest.raises(SomaError) as refused:
        await store.save_capability(own(99), 0, "alice")
    assert "purged" in refused.value.message


async def test_a_tenant_with_all_its_records_registers_again_what_it_deleted(store: BothStore) -> None:
    for number in range(QUOTAS.capabilities * RECORDS_PER_CAPABILITY):
        await store.save_capability(own(number), 0, "alice")
        await store.save_capability(replace(own(number), version=2, deleted_at=NOW), 1, "alice")
    assert await store.save_capability(replace(own(0), version=3), 2, "alice")
    with pytest.raises(SomaError) as refused:
        await store.save_capability(own(99), 0, "alice")
    assert refused.value.metadata["quota"] == "records_of_capabilities"


async def test_a_write_that_a_deletion_overtook_is_refused_where_there_is_no_room_either(store: BothStore) -> None:
    await store.save_capability(own(0), 0, "alice")
    await store.save_capability(replace(own(0), version=2, deleted_at=NOW), 1, "alice")
    for number in range(1, 1 + QUOTAS.capabilities):
        await store.save_capability(own(number), 0, "alice")
    assert not await store.save_capability(replace(own(0), version=2), 1, "registry")


async def test_what_was_deleted_needs_room_to_come_back(store: BothStore) -> None:
    await store.save_capability(own(0), 0, "alice")
    await store.save_capability(replace(own(0), version=2, deleted_at=NOW), 1, "alice")
    await store.save_capability(own(1), 0, "alice")
    assert await store.save_capability(replace(own(0), version=3), 2, "alice")
    await store.save_capability(replace(own(0), version=4, deleted_at=NOW), 3, "alice")
    await store.save_capability(own(2), 0, "alice")
    with pytest.raises(SomaError) as refused:
        await store.save_capability(replace(own(0), version=5), 4, "alice")
    assert refused.value.metadata["quota"] == "capabilities"


async def test_a_tenant_has_no_more_ladders_than_its_quota(store: BothStore) -> None:
    def ladder(number: int, tenant_id: str) -> Ladder:
        return Ladder(replace(KEY, task_type=f"t{number}"), ("a@b",), tenant_id, 1, "alice", NOW)

    for number in range(QUOTAS.ladders):
        assert await store.save_ladder(ladder(number, "acme"), 0)
    with pytest.raises(SomaError) as refused:
        await store.save_ladder(ladder(9, "acme"), 0)
    assert refused.value.metadata["quota"] == "ladders"
    assert await store.save_ladder(replace(ladder(0, "acme"), version=2), 1)
    assert await store.save_ladder(ladder(0, "umbrella"), 0)
    for number in range(5):
        assert await store.save_ladder(ladder(number, PLATFORM), 0)
