"""The feed of revoked keys: a key stays revoked until it expires, and watchers are sent it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

import pytest

from mesh.idempotency import NO_KEY
from mesh.ids import SystemIds
from mesh.rpc.api_keys import CLOCK_TOLERANCE_S
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from svc_gateway.app import revoked_key_feed as app
from svc_gateway.app.lookback import LONG_LOOKBACK
from svc_gateway.app.revoked_key_feed import LOOKBACK, POLL_S, RevokedKeyFeed
from svc_gateway.domain.keys import ApiKey, Revocation
from tests.in_memory.gateway import InMemoryKeyStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_IDS = SystemIds()


class GatedKeys(InMemoryKeyStore):
    """Reads revocations at once, and answers when its gate is open; notes how far each reading goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.read = asyncio.Event()
        self.given: Sequence[Revocation] = ()
        self.backs: list[timedelta | None] = []

    async def list_revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        self.backs.append(since and now - since)
        found = await super().list_revocations(now, since)
        gate = self.gate
        self.read.set()
        await gate.wait()
        return [*found, *self.given]


class ObservedRevocation(Revocation):
    """Counts how often anything looks at when its key expires."""

    looks: ClassVar[int] = 0

    def __getattribute__(self, name: str) -> object:
        if name == "expires_at":
            ObservedRevocation.looks += 1
        return super().__getattribute__(name)


class CountedId(str):
    """Counts how often anything looks an id up, or puts it into a map."""

    __slots__ = ()
    looks: ClassVar[int] = 0

    def __hash__(self) -> int:
        CountedId.looks += 1
        return super().__hash__()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> GatedKeys:
    return GatedKeys()


@pytest.fixture
def revoked(store: GatedKeys, clock: FakeClock) -> RevokedKeyFeed:
    return RevokedKeyFeed(store, clock)


async def revoke(
    store: GatedKeys, clock: FakeClock, life: timedelta = timedelta(days=1), ago: timedelta = timedelta()
) -> str:
    """Make a key and revoke it in the store."""
    now = clock.now() - ago
    key = ApiKey(_IDS.new(), "acme", "ci", "robot", ("member",), now, now + life, "alice")
    await store.add(key, NO_KEY)
    await store.revoke("acme", key.key_id, now)
    return key.key_id


async def test_watcher_hears_the_set_then_each_addition(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
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
    assert revoked.is_revoked(first)
    assert revoked.is_revoked(second)


async def test_expired_key_leaves_the_set(store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock) -> None:
    key_id = await revoke(store, clock, timedelta(hours=1))
    await revoked.refresh()
    assert revoked.is_revoked(key_id)
    await clock.advance(3601)
    await revoked.refresh()
    assert not revoked.is_revoked(key_id)


async def test_slow_reader_takes_no_revocation_back(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
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
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    store.given = [ObservedRevocation("key", clock.now() + timedelta(days=1))]
    await revoked.refresh()
    store.given = ()
    ObservedRevocation.looks = 0
    for _ in range(3):
        await clock.advance(POLL_S)
        await revoked.refresh()
    assert ObservedRevocation.looks == 0
    assert revoked.is_revoked("key")


async def test_one_revocation_among_very_many_does_not_touch_the_others(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    ends = clock.now() + timedelta(days=1)
    store.given = [ObservedRevocation(CountedId(f"key-{number}"), ends) for number in range(30_000)]
    await revoked.refresh()
    store.given = ()
    watches = [revoked.watch() for _ in range(10)]
    assert {len((await anext(watch)).revocations) for watch in watches} == {30_000}
    told: list[Sequence[Revocation]] = []
    revoked.on_change(told.append)
    CountedId.looks = ObservedRevocation.looks = 0
    key_id = await revoke(store, clock)
    await revoked.refresh()
    heard = [[item.key_id for item in (await anext(watch)).revocations] for watch in watches]
    assert heard == [[key_id]] * 10
    assert [[item.key_id for item in added] for added in told] == [[key_id]]
    assert (CountedId.looks, ObservedRevocation.looks) == (0, 0)


async def test_watcher_that_is_far_behind_gets_the_whole_set(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MAX_RECENT", 2)
    await revoked.refresh()
    slow, slower = revoked.watch(), revoked.watch()
    assert [(await anext(watch)).snapshot for watch in (slow, slower)] == [True, True]
    made = list[str]()
    for _ in range(4):
        made.append(await revoke(store, clock))
        await revoked.refresh()
    change = await anext(slow)
    assert (change.snapshot, [item.key_id for item in change.revocations]) == (False, made)
    made.append(await revoke(store, clock))
    await revoked.refresh()
    change = await anext(slower)
    assert (change.snapshot, {item.key_id for item in change.revocations}) == (True, {*made})
    assert [item.key_id for item in (await anext(slow)).revocations] == made[-1:]


async def test_ids_are_copied_once_for_each_change(store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock) -> None:
    await revoke(store, clock)
    await revoked.refresh()
    before = revoked.ids
    await revoked.refresh()
    assert revoked.ids is before
    key_id = await revoke(store, clock)
    await revoked.refresh()
    assert revoked.ids == before | {key_id}


async def test_a_revocation_whose_transaction_took_minutes_is_read_within_a_minute(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    async with revoked.running():
        await eventually(lambda: len(store.backs) == 2)
        late = await revoke(store, clock, ago=timedelta(minutes=5))
        await eventually(lambda: len(store.backs) > 2)
        assert not revoked.is_revoked(late)
        await clock.advance(60)
        await eventually(lambda: revoked.is_revoked(late))
    assert store.backs[:3] == [None, LONG_LOOKBACK, LOOKBACK]


async def test_a_key_that_was_just_revoked_is_added_and_told_without_a_reading(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    await revoked.refresh()
    watch = revoked.watch()
    await anext(watch)
    now = clock.now()
    for item in (Revocation("expired", now), Revocation("key", now + timedelta(days=1))):
        await revoked.add(item)
    assert (revoked.is_revoked("expired"), revoked.is_revoked("key")) == (False, True)
    assert [item.key_id for item in (await anext(watch)).revocations] == ["key"]
    assert store.backs == [None]


async def test_a_key_that_is_revoked_before_the_first_reading_comes_with_all_others(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    ids = {await revoke(store, clock), await revoke(store, clock)}
    await revoked.add(Revocation(min(ids), clock.now() + timedelta(days=1)))
    assert revoked.ids == ids


async def test_a_revocation_by_a_clock_that_is_behind_is_read_at_once(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    async with revoked.running():
        await eventually(lambda: len(store.backs) == 2)
        behind = timedelta(seconds=CLOCK_TOLERANCE_S / 2 + 15)  # clocks differ by so much, and the call took so long
        late = await revoke(store, clock, ago=behind)
        await eventually(lambda: revoked.is_revoked(late))


async def test_a_caller_reads_only_what_was_revoked_lately(
    store: GatedKeys, revoked: RevokedKeyFeed, clock: FakeClock
) -> None:
    for _ in range(3):
        await revoked.refresh()
        await clock.advance(3_600)
    assert store.backs == [None, timedelta(hours=1) + LOOKBACK, timedelta(hours=1) + LOOKBACK]
