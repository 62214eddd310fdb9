"""The catalogue follows the store across failures, and never takes an older row for a newer one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.testing.contract import eventually
from svc_registry.app import Catalog
from svc_registry.app import catalog as catalog_module
from svc_registry.domain import Capability, CapabilityKey, Health, HealthState, Kind, Ladder, LadderKey, Modality
from tests.in_memory.registry import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.testing import FakeClock

D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
KEY = LadderKey(Modality.DIAGRAM, "image_diagram")


class FailingStore(MemoryStore):
    """Fails as often as it is told to."""

    failures = 0

    async def get_capability(self, key: CapabilityKey) -> Capability | None:
        """Fails, or reads."""
        self._fail()
        return await super().get_capability(key)

    async def list_capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """Fails, or reads."""
        self._fail()
        async for page in super().list_capabilities():
            yield page

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the database is away")


@pytest.fixture
def store() -> FailingStore:
    return FailingStore()


def version(catalog: Catalog) -> int:
    """The version that the catalogue serves."""
    found = catalog.capabilities.get(D2.key)
    return found.version if found else 0


async def test_a_change_whose_read_failed_is_served_once_the_store_is_back(
    store: FailingStore, catalog: Catalog, clock: FakeClock
) -> None:
    store.failures = 2
    await store.save_capability(D2, 0, "")
    for _ in range(2):
        await clock.advance(await clock.sleeper())
    await eventually(lambda: version(catalog) == 1)
    await store.save_capability(replace(D2, version=2), 1, "")
    await eventually(lambda: version(catalog) == 2)


async def test_a_reload_that_failed_is_made_again(store: FailingStore, catalog: Catalog, clock: FakeClock) -> None:
    store._capabilities[D2.key] = D2  # nothing was announced
    store.failures = 1
    catalog._on_reset()
    await clock.advance(await clock.sleeper())
    await eventually(lambda: version(catalog) == 1)


async def test_many_pending_changes_become_one_reload(
    store: FailingStore, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "MAX_PENDING", 3)
    store._capabilities[D2.key] = D2
    for number in range(4):
        catalog._on_change(CapabilityKey(f"t{number}@x"))
    assert not catalog._pending
    await eventually(lambda: version(catalog) == 1)


@pytest.mark.parametrize(
    "older",
    [
        D2,
        replace(D2, version=2),
        replace(D2, version=2, health=Health(HealthState.HEALTHY, version=3)),
        replace(D2, version=1, health=Health(HealthState.HEALTHY, version=9)),
    ],
)
async def test_an_older_row_is_not_published_over_a_newer_one(catalog: Catalog, older: Capability) -> None:
    newer = replace(D2, version=2, health=Health(HealthState.UNHEALTHY, version=4))
    await catalog._publish([newer], ())
    before = catalog.snapshot().revision
    await catalog._publish([older], ())
    assert (catalog.capabilities.get(D2.key), catalog.snapshot().revision) == (newer, before)


async def test_an_older_ladder_is_not_published_over_a_newer_one(catalog: Catalog) -> None:
    await catalog._publish((), [Ladder(KEY, ("b@x",), version=2)])
    await catalog._publish((), [Ladder(KEY, ("a@x",), version=1)])
    found = catalog.ladders.get_effective("acme", KEY)
    assert found is not None
    assert found.capability_ids == ("b@x",)


async def test_a_row_from_before_a_deletion_does_not_bring_it_back(catalog: Catalog, clock: FakeClock) -> None:
    await catalog._publish([D2], ())
    await catalog._publish([replace(D2, version=2, deleted_at=clock.now())], ())
    await catalog._publish([D2], ())
    assert catalog.snapshot().capabilities == ()
    await catalog._publish([replace(D2, version=3)], ())
    assert version(catalog) == 3


async def test_what_was_purged_and_registered_anew_begins_with_the_first_version(
    catalog: Catalog, clock: FakeClock
) -> None:
    first = replace(D2, created_at=clock.now())
    await catalog._publish([replace(first, version=7, deleted_at=clock.now())], ())
    await clock.advance(60)
    await catalog._publish([replace(first, created_at=clock.now())], ())
    assert version(catalog) == 1


async def test_what_was_purged_unheard_leaves_with_the_next_reload(store: FailingStore, catalog: Catalog) -> None:
    await store.save_capability(D2, 0, "")
    await eventually(lambda: version(catalog) == 1)
    subscription = catalog.subscribe(catalog.snapshot().revision)
    del store._capabilities[D2.key]
    await catalog.reload()
    assert catalog.snapshot().capabilities == ()
    assert subscription is not None
    [change] = await subscription.next() or ()
    assert change.capability is not None
    assert change.capability.deleted_at is not None


async def test_a_follower_far_behind_is_given_its_changes_in_turns(catalog: Catalog) -> None:
    for number in range(1000):
        await catalog._publish([replace(D2, version=number + 1)], ())
    subscription = catalog.subscribe(catalog.snapshot().revision - 600)
    assert subscription is not None
    sizes = []
    while subscription.revision < catalog.snapshot().revision:
        sizes.append(len(await subscription.next() or ()))
    assert (sum(sizes), max(sizes)) == (600, 256)
