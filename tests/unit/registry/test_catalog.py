"""The live catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.testing.contract import eventually
from svc_registry.app.catalog import Catalog
from svc_registry.app.history import MIN_CHANGES
from svc_registry.domain import PLATFORM, Capability, Kind, Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from tests.in_memory.registry import MemoryStore

D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
KEY = LadderKey(Modality.DIAGRAM, "image_diagram")


async def test_what_was_there_is_in_the_first_view(store: MemoryStore) -> None:
    await store.save_capability(D2, 0, "")
    async with Catalog(store, store, "e").running() as catalog:
        assert catalog.snapshot().capabilities == (D2,)


async def test_a_change_reaches_a_subscriber(store: MemoryStore) -> None:
    async with Catalog(store, store, "e").running() as catalog:
        subscription = catalog.subscribe(catalog.snapshot().revision)
        assert subscription is not None
        await store.save_capability(D2, 0, "")
        changes = await subscription.next()
    assert changes is not None
    assert [change.capability for change in changes] == [D2]


async def test_a_subscriber_resumes_after_its_revision(store: MemoryStore) -> None:
    async with Catalog(store, store, "e").running() as catalog:
        start = catalog.snapshot().revision
        for version in (1, 2, 3):
            await store.save_capability(replace(D2, version=version), version - 1, "")
            await eventually(lambda version=version: catalog.snapshot().revision == start + version)
        subscription = catalog.subscribe(start + 1)
        assert subscription is not None
        changes = await subscription.next()
    assert changes is not None
    assert [change.capability.version for change in changes if change.capability] == [2, 3]


async def test_a_subscriber_that_missed_too_much_starts_anew(store: MemoryStore) -> None:
    async with Catalog(store, store, "e").running() as catalog:
        await store.save_capability(D2, 0, "")
        await eventually(lambda: catalog.snapshot().revision == 1)
        for version in range(2 * MIN_CHANGES):
            await catalog._publish([replace(D2, version=version + 2)], ())
        assert catalog.subscribe(0) is None


async def test_a_revision_of_the_future_is_refused(store: MemoryStore) -> None:
    async with Catalog(store, store, "e").running() as catalog:
        assert catalog.subscribe(7) is None


async def test_a_tenants_own_ladder_wins_until_it_is_empty(store: MemoryStore) -> None:
    await store.save_ladder(Ladder(KEY, ("a@x",), PLATFORM, 1), 0)
    await store.save_ladder(Ladder(KEY, ("b@x",), "acme", 1), 0)
    async with Catalog(store, store, "e").running() as catalog:
        found = catalog.ladders.get_effective("acme", KEY)
        assert found is not None
        assert found.capability_ids == ("b@x",)
        await store.save_ladder(Ladder(KEY, (), "acme", 2), 1)
        await eventually(
            lambda: catalog.ladders.get_effective("acme", KEY) == catalog.ladders.get_effective(PLATFORM, KEY)
        )
