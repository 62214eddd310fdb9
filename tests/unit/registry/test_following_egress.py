"""`needs_egress` of what is stored follows the platform's capabilities while the registry runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.lifecycle import background
from mesh.testing.contract import eventually
from svc_registry.app import Catalog, Registry, Subscription, watch_needs_egress
from svc_registry.app import egress as egress_module
from svc_registry.domain import Capability, CapabilityKey, Constraints, Kind, Modality, Requester

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from mesh.testing import FakeClock
    from svc_registry.app import Change
    from tests.in_memory.registry import MemoryStore

OPERATOR = Requester("ops", "root", is_platform=True)
ACME = Requester("acme", "alice")
EGRESS = Constraints(needs_egress=True)
MINE = Capability("mine", "x", Kind.MODEL, (Modality.TEXT,), ("text_chat",), adapter="small")
SMALL = replace(MINE, tool_id="small", provider="local")
FAR = replace(SMALL, tool_id="far", endpoint="https://llm.example/v1")


class LossySubscription(Subscription):
    """Loses whatever changes."""

    async def next(self, seconds: float | None = None) -> Sequence[Change] | None:
        """Waits for changes."""
        await super().next(seconds)
        return None


class Harness:
    """A registry whose private capabilities are corrected while it runs."""

    def __init__(self, store: MemoryStore, catalog: Catalog, clock: FakeClock) -> None:
        self.registry = Registry(store, catalog, clock)
        self._store = store
        self._catalog = catalog
        self._clock = clock

    async def old_replica_stores(self, tool_id: str) -> CapabilityKey:
        """Stores a private capability of an adapter that the platform does not have, as an older release does."""
        old = replace(MINE, tool_id=tool_id, adapter="unknown", tenant_id="acme", version=1)
        await self._store.save_capability(replace(old, created_at=self._clock.now()), 0, "alice")
        return old.key

    def needs_egress(self, key: CapabilityKey) -> bool:
        """Whether the catalogue has the capability, and says that it needs egress."""
        found = self._catalog.capabilities.get(key)
        return found is not None and found.constraints.needs_egress

    async def corrected(self, key: CapabilityKey) -> Capability:
        """The capability once it needs egress; the catalogue has it as it is stored."""
        await eventually(lambda: self.needs_egress(key))
        stored = await self._store.get_capability(key)
        assert stored == self._catalog.capabilities.get(key)
        assert stored is not None
        return stored

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Harness]:
        """Follows while entered; what there was at the start is corrected by then."""
        async with background(
            lambda: watch_needs_egress(self._store, self._catalog, self._clock), "egress", clock=self._clock
        ):
            await self.corrected(await self.old_replica_stores("first"))
            yield self


@pytest.fixture
async def harness(store: MemoryStore, catalog: Catalog, clock: FakeClock) -> AsyncIterator[Harness]:
    async with Harness(store, catalog, clock).following() as following:
        yield following


async def updated(registry: Registry) -> None:
    await registry.update(OPERATOR, "small@local", replace(SMALL, constraints=EGRESS), ["constraints"])


async def added(registry: Registry) -> None:
    await registry.register(OPERATOR, FAR)


async def deleted(registry: Registry) -> None:
    await registry.delete(OPERATOR, "small@local")


@pytest.mark.parametrize("change", [updated, added, deleted])
async def test_a_private_capability_follows_what_the_platform_finds_of_its_adapter(
    harness: Harness, change: Callable[[Registry], Awaitable[None]]
) -> None:
    await harness.registry.register(OPERATOR, SMALL)
    mine = await harness.registry.register(ACME, MINE)
    other = await harness.registry.register(OPERATOR, replace(SMALL, tool_id="other", adapter="other"))
    theirs = await harness.registry.register(ACME, replace(MINE, tool_id="theirs", adapter="other"))
    await harness.corrected(await harness.old_replica_stores("later"))  # what came before has been looked at
    await change(harness.registry)
    assert (await harness.corrected(mine.key)).version == 2
    assert [harness.registry.get(ACME, item.capability_id) for item in (other, theirs)] == [other, theirs]


async def test_what_an_old_replica_stores_is_corrected_once(harness: Harness) -> None:
    keys = [await harness.old_replica_stores(tool_id) for tool_id in ("second", "third")]
    for key in keys:
        await harness.corrected(key)
    last = await harness.old_replica_stores("last")
    assert [(await harness.corrected(key)).version for key in (*keys, last)] == [2, 2, 2]


async def test_all_are_corrected_again_where_changes_were_lost(
    store: MemoryStore, catalog: Catalog, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress_module, "Subscription", LossySubscription)
    async with Harness(store, catalog, clock).following() as harness:
        second = await harness.old_replica_stores("second")
        assert (await harness.corrected(second)).version == 2
