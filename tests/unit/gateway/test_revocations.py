"""What is revoked stays revoked until it expires, and watchers hear of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds
from mesh.testing import FakeClock
from svc_gateway.adapters.memory import MemoryKeys
from svc_gateway.app.revocations import RevokedKeys
from svc_gateway.domain.keys import ApiKey, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from svc_gateway.domain.keys import Revocation

_IDS = SystemIds()


class GatedKeys(MemoryKeys):
    """Reads revocations at once, and answers when its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.read = asyncio.Event()

    async def revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        found = await super().revocations(now, since)
        gate = self.gate
        self.read.set()
        await gate.wait()
        return found


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
