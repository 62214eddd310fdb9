"""What is revoked stays revoked until it expires, and watchers hear of it."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest

from mesh.ids import SystemIds
from mesh.testing import FakeClock, Issuer
from svc_gateway.adapters.memory import MemoryKeys
from svc_gateway.app.revocations import POLL_S, RevokedKeys
from svc_gateway.app.statements import Statements
from svc_gateway.domain.keys import ApiKey, Request, Revocation

if TYPE_CHECKING:
    from collections.abc import ItemsView, Mapping, Sequence
    from datetime import datetime

_IDS = SystemIds()


class GatedKeys(MemoryKeys):
    """Reads revocations at once, and answers when its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.read = asyncio.Event()
        self.given: Revocation | None = None

    async def revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        found = await super().revocations(now, since)
        gate = self.gate
        self.read.set()
        await gate.wait()
        return found if self.given is None else [*found, self.given]


class ObservedRevocation(Revocation):
    """Counts how often anything looks at when its key expires."""

    looks: ClassVar[int] = 0

    def __getattribute__(self, name: str) -> object:
        if name == "expires_at":
            ObservedRevocation.looks += 1
        return super().__getattribute__(name)


class ObservedSet(dict[str, Revocation]):
    """Notes which threads go through it."""

    def __init__(self, items: Mapping[str, Revocation]) -> None:
        super().__init__(items)
        self.readers: set[int] = set()

    def items(self) -> ItemsView[str, Revocation]:  # type: ignore[override]
        self.readers.add(threading.get_ident())
        return super().items()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> GatedKeys:
    return GatedKeys()


@pytest.fixture
def revoked(store: GatedKeys, clock: FakeClock) -> RevokedKeys:
    return RevokedKeys(store, clock)


async def revoke(store: GatedKeys, clock: FakeClock, life: timedelta = timedelta(days=1)) -> str:
    """Make a key and revoke it in the store."""
    now = clock.now()
    key = ApiKey(_IDS.new(), "acme", "ci", "robot", ("member",), now, now + life, "alice")
    await store.add(key, Request("", "digest"))
    await store.revoke("acme", key.key_id, now)
    return key.key_id


async def test_watcher_hears_the_set_then_each_addition(
    store: GatedKeys, revoked: RevokedKeys, clock: FakeClock
) -> None:
    first = await revoke(store, clock)
    await revoked.refresh()
    watch = revoked.watch()
    snapshot = await anext(watch)
    second = await revoke(store, clock)
    await revoked.refresh()
    addition = await anext(watch)
    assert (snapshot.snapshot, [item.key_id for item in snapshot.revocations]) == (True, [first])
    assert (addition.snapshot, [item.key_id for item in addition.revocations]) == (False, [second])
    assert revoked(first)
    assert revoked(second)


async def test_expired_key_leaves_the_set(store: GatedKeys, revoked: RevokedKeys, clock: FakeClock) -> None:
    key_id = await revoke(store, clock, timedelta(hours=1))
    await revoked.refresh()
    assert revoked(key_id)
    await clock.advance(3601)
    await revoked.refresh()
    assert not revoked(key_id)


async def test_slow_reader_takes_no_revocation_back(store: GatedKeys, revoked: RevokedKeys, clock: FakeClock) -> None:
    first = await revoke(store, clock)
    slow_gate = store.gate = asyncio.Event()
    slow = asyncio.create_task(revoked.refresh())
    await store.read.wait()
    store.gate = asyncio.Event()
    store.gate.set()
    second = await revoke(store, clock)
    await revoked.refresh()
    assert revoked.ids == {first, second}
    slow_gate.set()
    await slow
    assert revoked.ids == {first, second}


async def test_reading_without_news_leaves_the_set_alone(
    store: GatedKeys, revoked: RevokedKeys, clock: FakeClock
) -> None:
    store.given = ObservedRevocation("key", clock.now() + timedelta(days=1))
    await revoked.refresh()
    store.given = None
    ObservedRevocation.looks = 0
    for _ in range(3):
        await clock.advance(POLL_S)
        await revoked.refresh()
    assert ObservedRevocation.looks == 0
    assert revoked("key")


async def test_the_set_is_hashed_off_the_loop(clock: FakeClock) -> None:
    issuer, current = (
        await Issuer.create(clock),
        ObservedSet({"key": Revocation("key", clock.now() + timedelta(days=1))}),
    )
    assert await Statements(issuer.minter).of(current, clock.now())
    assert current.readers
    assert threading.get_ident() not in current.readers
