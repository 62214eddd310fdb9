"""The ids of all existing keys in memory, as sent to the watchers of WatchApiKeys, which refuse all other keys."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.identity.key_ids import KeyIds, id_of, ids_in
from mesh.lifecycle import background
from mesh.logging import get_logger
from svc_gateway.app.lookback import LONG_LOOKBACK, lookback_at
from svc_gateway.domain.keys import KEY_LIFETIME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_gateway.app.ports import KeyStore
    from svc_gateway.domain.keys import CreatedKey

POLL_S = 0.3
"""Interval of reading new keys. Each reading is announced: watchers count them to be sure that a key does not exist."""
PAUSE_S = 0.1
"""Minimum pause between two readings."""
LOOKBACK = timedelta(seconds=15)
"""How far most readings go back. A key that is read late is unconfirmed until then, not refused."""
EXPIRED_KEY_RETENTION = timedelta(days=30)
"""How long a key stays after it has expired: work that it started goes on, on behalf of its subject."""
PAGE_SIZE = 5_000
_RETRY_S = 0.5
_HOUR_S = 3_600


@dataclass(frozen=True)
class ExistingKeysUpdate:
    """The keys as of a reading, and the indexes of the buckets that the watcher does not have yet."""

    ids: KeyIds
    as_of: datetime
    changed_buckets: Sequence[int]


class ExistingKeyFeed:
    """Reads the ids of existing keys from the store and sends changes to watchers.

    Keys are removed EXPIRED_KEY_RETENTION after they have expired.
    """

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids = KeyIds()
        self._ids_by_expiry_hour: dict[int, bytearray] = defaultdict(bytearray)
        self._as_of: datetime | None = None
        self._last_long: datetime | None = None
        self._refresh_requested = asyncio.Event()
        self._refresh_lock = asyncio.Lock()
        self._read = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads all keys, and refreshes them while entered."""
        async with self._store.listen_created(self._refresh_requested.set):
            await self.refresh()
            async with background(self._run, "existing-keys", clock=self._clock):
                yield

    async def refresh(self) -> None:
        """Adds new keys of the store, page by page, and removes keys that expired long ago."""
        async with self._refresh_lock:  # readings are announced in the order in which they started
            now = self._clock.now()
            lookback = lookback_at(now, self._last_long, LOOKBACK)
            await self._read_new(self._read_from(now, lookback), now)
            self._remove_expired(now)
            self._last_long = now if lookback == LONG_LOOKBACK else self._last_long
            async with self._read:
                self._as_of = now
                self._read.notify_all()

    async def watch(self, bucket_digests: Sequence[int]) -> AsyncIterator[ExistingKeysUpdate]:
        """Yields every reading: the first with the buckets whose digests differ, each later one with what changed."""
        sent, as_of = await self._next_reading(None)
        yield ExistingKeysUpdate(sent, as_of, sent.differing(bucket_digests))
        while True:
            before = sent
            sent, as_of = await self._next_reading(as_of)
            yield ExistingKeysUpdate(sent, as_of, sent.changed_since(before))

    async def _next_reading(self, last: datetime | None) -> tuple[KeyIds, datetime]:
        async with self._read:
            while self._as_of is None or self._as_of == last:
                await self._read.wait()
            return self._ids, self._as_of

    def _read_from(self, now: datetime, lookback: timedelta) -> datetime:
        """Start time of a reading. Older keys have expired long ago: none lives longer than KEY_LIFETIME."""
        if self._as_of is None:
            return now - KEY_LIFETIME - EXPIRED_KEY_RETENTION
        return self._as_of - lookback

    async def _read_new(self, since: datetime, now: datetime) -> None:
        after, new = "", list[bytes]()
        while True:
            page = await self._store.list_created(since, after, PAGE_SIZE)
            new += self._unknown_ids(page, now)
            if len(page) < PAGE_SIZE:
                break
            since, after = page[-1].created_at, page[-1].key_id
        # Adding all keys takes about a second, too long for the event loop.
        many = len(new) > PAGE_SIZE
        self._ids = await asyncio.to_thread(self._ids.with_ids, new) if many else self._ids.with_ids(new)

    def _unknown_ids(self, page: Sequence[CreatedKey], now: datetime) -> list[bytes]:
        """Returns the ids of a page that are not known yet, and records when they are removed."""
        new = []
        for key in page:
            key_id, removed_at = id_of(key.tenant_id, key.key_id), key.expires_at + EXPIRED_KEY_RETENTION
            if removed_at > now and key_id not in self._ids:
                self._ids_by_expiry_hour[_hour_of(removed_at)] += key_id
                new.append(key_id)
        return new

    def _remove_expired(self, now: datetime) -> None:
        expired_hours = [hour for hour in self._ids_by_expiry_hour if hour < _hour_of(now)]
        if expired_hours:
            expired = (key_id for hour in expired_hours for key_id in ids_in(bytes(self._ids_by_expiry_hour.pop(hour))))
            self._ids = self._ids.without_ids(expired)

    async def _run(self) -> None:
        while True:
            self._refresh_requested.clear()
            try:
                await self.refresh()
            except SomaError as error:
                get_logger("svc_gateway").warning("keys not read", reason=error.reason.value)
                await self._clock.sleep(_RETRY_S)
                continue
            await self._clock.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(POLL_S - PAUSE_S):
                    await self._refresh_requested.wait()
            except TimeoutError:
                continue


def _hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // _HOUR_S
