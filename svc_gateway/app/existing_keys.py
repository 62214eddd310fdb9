"""The keys that exist, in memory: what this process tells everyone else, so that they refuse all others."""

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
from svc_gateway.app.lookback import LONG_LOOKBACK, lookback
from svc_gateway.domain.keys import KEY_LIFETIME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_gateway.app.ports import KeyStore
    from svc_gateway.domain.keys import CreatedKey

POLL_S = 0.3
"""Reads new keys at least this often, and says so: others count readings to be sure that a key does not exist."""
PAUSE_S = 0.1
"""Between two readings, however many keys are made."""
LOOKBACK = timedelta(seconds=15)
"""How far most readings go back. A key that is read late is unconfirmed until then, not refused."""
EXPIRED_KEY_RETENTION = timedelta(days=30)
"""How long a key stays after it has expired: work that it began goes on, on behalf of its subject."""
PAGE = 5_000
_RETRY_S = 0.5
_HOUR_S = 3_600


@dataclass(frozen=True)
class KeysRead:
    """The keys as of a reading, and the numbers of the buckets that a watcher has not got yet."""

    ids: KeyIds
    as_of: datetime
    changed: Sequence[int]


class ExistingKeys:
    """Follows the store. One set for all who watch; a key leaves it some time after it has expired."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ids = KeyIds()
        self._ends: dict[int, bytearray] = defaultdict(bytearray)
        self._as_of: datetime | None = None
        self._last_long: datetime | None = None
        self._stale = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._read = asyncio.Condition()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the keys, and keep them current while entered."""
        async with self._store.listen_created(self._stale.set):
            await self.refresh()
            async with background(self._follow, "existing-keys", clock=self._clock):
                yield

    async def refresh(self) -> None:
        """Add what the store has, page by page, and let go of what expired long ago."""
        async with self._refreshing:  # readings are told in the order in which they began
            now = self._clock.now()
            back = lookback(now, self._last_long, LOOKBACK)
            await self._read_pages(self._since(now, back), now)
            self._forget(now)
            self._last_long = now if back == LONG_LOOKBACK else self._last_long
            async with self._read:
                self._as_of = now
                self._read.notify_all()

    async def watch(self, bucket_digests: Sequence[int]) -> AsyncIterator[KeysRead]:
        """Every reading: the first with all that has other digests than these, each later one with what changed."""
        sent, as_of = await self._reading_after(None)
        yield KeysRead(sent, as_of, sent.differing(bucket_digests))
        while True:
            before = sent
            sent, as_of = await self._reading_after(as_of)
            yield KeysRead(sent, as_of, sent.changed_since(before))

    async def _reading_after(self, known: datetime | None) -> tuple[KeyIds, datetime]:
        async with self._read:
            while self._as_of is None or self._as_of == known:
                await self._read.wait()
            return self._ids, self._as_of

    def _since(self, now: datetime, back: timedelta) -> datetime:
        """Where to read from. Older keys have expired long ago: none lives longer than KEY_LIFETIME."""
        if self._as_of is None:
            return now - KEY_LIFETIME - EXPIRED_KEY_RETENTION
        return self._as_of - back

    async def _read_pages(self, since: datetime, now: datetime) -> None:
        after, new = "", list[bytes]()
        while True:
            page = await self._store.created(since, after, PAGE)
            new += self._new_in(page, now)
            if len(page) < PAGE:
                break
            since, after = page[-1].created_at, page[-1].key_id
        # All keys together are the work of a second.
        many = len(new) > PAGE
        self._ids = await asyncio.to_thread(self._ids.with_ids, new) if many else self._ids.with_ids(new)

    def _new_in(self, page: Sequence[CreatedKey], now: datetime) -> list[bytes]:
        """Ids of a page that are not known, whose end is noted."""
        new = []
        for key in page:
            item, end = id_of(key.tenant_id, key.key_id), key.expires_at + EXPIRED_KEY_RETENTION
            if end > now and item not in self._ids:
                self._ends[_hour_of(end)] += item
                new.append(item)
        return new

    def _forget(self, now: datetime) -> None:
        over = [hour for hour in self._ends if hour < _hour_of(now)]
        if over:
            self._ids = self._ids.without_ids(item for hour in over for item in ids_in(bytes(self._ends.pop(hour))))

    async def _follow(self) -> None:
        while True:
            self._stale.clear()
            try:
                await self.refresh()
            except SomaError as error:
                get_logger("svc_gateway").warning("keys not read", reason=error.reason.value)
                await self._clock.sleep(_RETRY_S)
                continue
            await self._clock.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(POLL_S - PAUSE_S):
                    await self._stale.wait()
            except TimeoutError:
                continue


def _hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // _HOUR_S
