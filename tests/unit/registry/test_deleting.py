"""Deleting capabilities, and repeated requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from svc_registry.app import Catalog, Registry
from svc_registry.app.ports import CapabilityFilter
from svc_registry.domain import Capability, CapabilityKey, HealthState, Kind, Lifecycle, Modality, Report, Requester
from svc_registry.rpc.convert import capability_to_proto

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from tests.in_memory.registry import MemoryStore

OPERATOR = Requester("ops", "root", is_platform=True)
EXECUTOR = Requester("*", "spiffe://soma/executor", is_platform=True, is_service=True)
ACME = Requester("acme", "alice")
MINE = Capability("mine", "acme", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))


@pytest.fixture
def registry(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> Registry:
    return Registry(store, catalog, clock)


async def test_what_is_deleted_is_not_found_and_not_listed(registry: Registry, clock: FakeClock) -> None:
    await registry.register(ACME, MINE)
    deleted = await registry.delete(ACME, "mine@acme")
    assert (deleted.deleted_at, deleted.version) == (clock.now(), 2)
    assert (
        capability_to_proto(deleted).lifecycle
        == capability_to_proto(replace(MINE, lifecycle=Lifecycle.DISABLED)).lifecycle
    )
    assert registry.list(ACME, CapabilityFilter(include_disabled=True), 50, "").items == []
    with pytest.raises(SomaError) as hidden:
        registry.get(ACME, "mine@acme")
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_a_watcher_is_told_of_a_deletion(registry: Registry, catalog: Catalog) -> None:
    await registry.register(ACME, MINE)
    subscription = catalog.subscribe(catalog.snapshot().revision)
    await registry.delete(ACME, "mine@acme")
    assert subscription is not None
    [change] = await subscription.next() or ()
    assert change.capability is not None
    assert change.capability.deleted_at is not None


async def test_deleting_over_another_version_is_refused(registry: Registry) -> None:
    await registry.register(ACME, MINE)
    with pytest.raises(SomaError) as refused:
        await registry.delete(ACME, "mine@acme", version=7)
    assert refused.value.reason is Reason.STALE_VERSION


async def test_registering_what_was_deleted_continues_its_versions(registry: Registry) -> None:
    first = await registry.register(ACME, MINE)
    await registry.delete(ACME, "mine@acme")
    again = await registry.register(ACME, MINE)
    assert (again.version, again.deleted_at, again.created_at) == (3, None, first.created_at)
    assert registry.get(ACME, "mine@acme") == again


async def test_what_an_operator_deleted_does_not_come_back_with_its_service(registry: Registry) -> None:
    await registry.register(EXECUTOR, MINE)
    await registry.delete(OPERATOR, "mine@acme")
    assert (await registry.register(EXECUTOR, MINE)).deleted_at is not None
    with pytest.raises(SomaError) as refused:
        registry.get(OPERATOR, "mine@acme")
    assert refused.value.reason is Reason.NOT_FOUND
    assert (await registry.register(OPERATOR, MINE)).deleted_at is None


async def test_a_repeated_deletion_is_answered_as_the_first(registry: Registry) -> None:
    await registry.register(ACME, MINE)
    first = await registry.delete(ACME, "mine@acme", key=RequestKey.for_request("r", b"one"))
    assert await registry.delete(ACME, "mine@acme", key=RequestKey.for_request("r", b"one")) == first
    with pytest.raises(SomaError) as refused:
        await registry.delete(ACME, "mine@acme", version=1, key=RequestKey.for_request("r", b"another"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_repeat_beside_the_first_call_is_answered_as_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.register(ACME, MINE)
    key, read = RequestKey.for_request("r"), registry._store.get_capability

    async def read_after_the_first(wanted: CapabilityKey) -> Capability | None:
        monkeypatch.undo()
        await registry.delete(ACME, "mine@acme", key=key)
        return await read(wanted)

    monkeypatch.setattr(registry._store, "get_capability", read_after_the_first)
    assert (await registry.delete(ACME, "mine@acme", key=key)).deleted_at is not None


async def test_a_repeated_update_changes_nothing_more(registry: Registry) -> None:
    await registry.register(ACME, MINE)
    for _ in range(2):
        updated = await registry.update(
            ACME, "mine@acme", replace(MINE, tags=("a",), version=1), ["tags"], RequestKey.for_request("r", b"one")
        )
    assert updated.version == 2
    with pytest.raises(SomaError) as refused:
        await registry.update(
            ACME, "mine@acme", replace(MINE, tags=("b",), version=1), ["tags"], RequestKey.for_request("r", b"another")
        )
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_an_edit_keeps_a_report_that_came_between_its_read_and_its_write(
    registry: Registry, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.register(OPERATOR, MINE)
    save = store.save_capability

    async def report_then_save(*args: object) -> bool:
        await registry.report_health(MINE.key, Report(HealthState.UNHEALTHY, "down", circuit_open=True))
        return await save(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "save_capability", report_then_save)
    await registry.update(OPERATOR, "mine@acme", replace(MINE, tags=("a",)), ["tags"])
    found = registry.get(OPERATOR, "mine@acme")
    assert (found.tags, found.health.circuit_open, found.health.failure_count) == (("a",), True, 1)


async def test_large_default_parameters_are_refused(registry: Registry) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.register(ACME, replace(MINE, default_parameters={"x": "a" * 70_000}))
    assert refused.value.fields[0].field == "capability.default_parameters"


async def test_an_update_of_nothing_is_refused(registry: Registry) -> None:
    await registry.register(ACME, MINE)
    with pytest.raises(SomaError) as refused:
        await registry.update(ACME, "mine@acme", MINE, [])
    assert refused.value.fields[0].field == "update_mask"
