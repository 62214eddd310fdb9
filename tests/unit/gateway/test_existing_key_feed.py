"""The feed of existing keys, and the messages of WatchApiKeys."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY
from mesh.identity.key_ids import KeyIds, id_of
from mesh.identity.signed_statements import KEYS_TYPE, StatementReader
from mesh.ids import SystemIds
from mesh.lifecycle import background
from mesh.testing import FakeClock, Issuer
from mesh.testing.contract import eventually
from mesh.testing.tokens import ISSUER
from svc_gateway.app import existing_key_feed as app
from svc_gateway.app.existing_key_feed import ExistingKeyFeed
from svc_gateway.app.key_set_signer import STATEMENT_MAX_AGE_S, KeySetSigner
from svc_gateway.domain.keys import ApiKey
from svc_gateway.rpc import key_watches as rpc
from tests.in_memory.gateway import InMemoryKeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from svc_gateway.domain.keys import CreatedKey

_IDS = SystemIds()
LIFE = timedelta(days=2)


class PagedKeys(InMemoryKeyStore):
    """Counts the keys that it gives, and fails while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[int] = []
        self.away = False

    async def list_created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        if self.away:
            raise SomaError(Reason.UNAVAILABLE, "away")
        found = await super().list_created(since, after, limit)
        self.pages.append(len(found))
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> PagedKeys:
    return PagedKeys()


@pytest.fixture
def existing(store: PagedKeys, clock: FakeClock) -> ExistingKeyFeed:
    return ExistingKeyFeed(store, clock)


async def made(store: PagedKeys, clock: FakeClock, *, ago: timedelta = timedelta(0), life: timedelta = LIFE) -> bytes:
    """Creates a key; returns its id in the set."""
    at = clock.now() - ago
    key = ApiKey(_IDS.new(), "acme", "ci", "robot", ("member",), at, at + life, "alice")
    await store.add(key, NO_KEY)
    return id_of("acme", key.key_id)


async def test_watcher_hears_all_keys_then_each_new_one(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    first = await made(store, clock)
    await existing.refresh()
    watch = existing.watch([])
    before = await anext(watch)
    second = await made(store, clock)
    await clock.advance(1)
    await existing.refresh()
    after = await anext(watch)
    assert (before.ids.to_bytes(), after.ids.to_bytes()) == (first, b"".join(sorted([first, second])))
    assert [after.ids.buckets[index] for index in after.changed_buckets] == [second]


async def test_watcher_that_has_them_gets_none_but_the_time_of_each_reading(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    await made(store, clock)
    await existing.refresh()
    known = (await anext(existing.watch([]))).ids.bucket_digests
    watch = existing.watch(known)
    assert (await anext(watch)).changed_buckets == []
    await clock.advance(1)
    await existing.refresh()
    reading = await anext(watch)
    assert (reading.changed_buckets, reading.as_of) == ([], clock.now())


async def test_keys_are_read_in_pages(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "PAGE_SIZE", 2)
    wanted = [await made(store, clock) for _ in range(5)]
    await existing.refresh()
    assert store.pages == [2, 2, 1]
    assert (await anext(existing.watch([]))).ids.to_bytes() == b"".join(sorted(wanted))


async def test_later_readings_go_back_a_little_and_once_a_minute_far(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    await made(store, clock, ago=timedelta(days=1))
    await existing.refresh()
    late = await made(store, clock, ago=timedelta(minutes=5))  # as of a transaction that took so long
    await clock.advance(1)
    await existing.refresh()
    assert store.pages == [1, 0]
    await clock.advance(60)
    await existing.refresh()
    assert late in (await anext(existing.watch([]))).ids


async def test_key_leaves_some_time_after_it_has_expired(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    short, long = await made(store, clock), await made(store, clock, life=timedelta(days=300))
    await existing.refresh()
    await clock.advance((LIFE + timedelta(days=30)).total_seconds() - 60)
    await existing.refresh()
    assert (await anext(existing.watch([]))).ids == KeyIds().with_ids([short, long])
    await clock.advance(3_660)
    await existing.refresh()
    assert (await anext(existing.watch([]))).ids == KeyIds().with_ids([long])


async def test_reading_goes_on_after_the_store_was_away(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    await existing.refresh()
    store.away = True
    await clock.advance(3_600)
    with pytest.raises(SomaError):
        await existing.refresh()
    key = await made(store, clock, ago=timedelta(minutes=30))
    store.away = False
    await existing.refresh()
    assert key in (await anext(existing.watch([]))).ids


async def test_large_state_is_cut_into_messages(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "_MAX_ID_BYTES", 32)
    wanted = [await made(store, clock) for _ in range(7)]
    await existing.refresh()
    issuer = await Issuer.create(clock)
    statements = KeySetSigner(issuer.minter, clock)
    stream = rpc.watch_existing_keys(existing, statements, [])
    messages = [await anext(stream)]
    while not messages[-1].HasField("as_of"):
        messages.append(await anext(stream))
    buckets = {bucket.index: bucket.ids for message in messages for bucket in message.buckets}
    assert KeyIds().with_buckets(buckets) == KeyIds().with_ids(wanted)
    assert len(messages) > 3
    async with signing(statements, clock):
        await signed(statements, existing, clock)
    await clock.advance(1)
    await existing.refresh()
    stated = StatementReader(KEYS_TYPE, issuer.keys, ISSUER).read((await anext(stream)).statement)
    assert stated is not None
    assert stated.sha256 == KeyIds().with_ids(wanted).sha256()


class CountingSigner:
    """Counts what it is to sign; signs nothing while it is away, and says nothing while it hangs."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = self.hangs = False

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        self.asked += 1
        if self.away:
            raise SomaError(Reason.UNAVAILABLE, "away")
        if self.hangs:
            await asyncio.Event().wait()
        return f"{typ} {self.asked}"


@asynccontextmanager
async def signing(statements: KeySetSigner, clock: FakeClock) -> AsyncIterator[None]:
    """Sign what is asked for, while entered."""
    async with background(statements.sign_existing, "signing", clock=clock):
        yield


async def signed(statements: KeySetSigner, existing: ExistingKeyFeed, clock: FakeClock) -> str:
    """The statement on the keys as they are, once it is signed."""
    ids = (await anext(existing.watch([]))).ids
    await eventually(lambda: bool(statements.existing_statement(ids, clock.now())))
    return statements.existing_statement(ids, clock.now())


async def test_state_is_signed_once_a_minute_for_all_watchers(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    signer = CountingSigner()
    statements = KeySetSigner(signer, clock)
    await existing.refresh()
    async with signing(statements, clock):
        first = [await signed(statements, existing, clock) for _ in range(3)]
        await clock.advance(STATEMENT_MAX_AGE_S - 1)
        later = await signed(statements, existing, clock)
        assert {*first, later} == {"soma-api-keys 1"}
        await clock.advance(1)
        assert await signed(statements, existing, clock) == "soma-api-keys 2"
        await made(store, clock)
        await existing.refresh()
        assert await signed(statements, existing, clock) == "soma-api-keys 3"
        signer.away = True
        assert statements.existing_statement(KeyIds(), clock.now()) == ""
        await eventually(lambda: signer.asked == 4)
        assert statements.existing_statement(KeyIds(), clock.now()) == ""


async def test_streams_get_a_statement_once_a_minute(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    await existing.refresh()
    statements = KeySetSigner(CountingSigner(), clock)
    stream = rpc.watch_existing_keys(existing, statements, [])
    told = list[str]()
    async with signing(statements, clock):
        for seconds in (0, 1, 1, STATEMENT_MAX_AGE_S, 1):
            await clock.advance(seconds)
            await existing.refresh()
            told.append((await anext(stream)).statement)
            await signed(statements, existing, clock)
    assert told == ["", "soma-api-keys 1", "", "", "soma-api-keys 2"]


async def test_readings_are_told_while_nothing_is_signed(
    store: PagedKeys, existing: ExistingKeyFeed, clock: FakeClock
) -> None:
    signer = CountingSigner()
    signer.hangs = True
    statements = KeySetSigner(signer, clock)
    streams = [rpc.watch_existing_keys(existing, statements, []) for _ in range(2)]
    await existing.refresh()
    async with signing(statements, clock):
        before = [await anext(stream) for stream in streams]
        await eventually(lambda: signer.asked == 1)
        new = await made(store, clock)
        await clock.advance(1)
        await existing.refresh()
        after = [await anext(stream) for stream in streams]
    assert all(message.HasField("as_of") and message.statement == "" for message in [*before, *after])
    assert [[bucket.ids for bucket in message.buckets] for message in after] == [[new]] * 2
