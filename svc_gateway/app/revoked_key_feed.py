"""All revoked keys in memory: refused by this process, and sent to the watchers of WatchRevocations."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.identity.key_ids import BUCKETS
from mesh.identity.revocation_buckets import RevocationBuckets
from mesh.identity.signed_statements import expires_at_s
from mesh.lifecycle import background
from mesh.logging import get_logger
from svc_gateway.app.lookback import LONG_LOOKBACK, lookback_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_gateway.app.ports import KeyStore
    from svc_gateway.domain.keys import Revocation

POLL_S = 0.5
"""Interval of reading new revocations: a notification may be lost, and a revocation must take effect in a second."""
ANNOUNCE_S = 60.0
"""Interval at which watchers are sent the time of the last reading, in seconds."""
LOOKBACK = timedelta(minutes=1)
"""How far most readings go back: more than clocks may differ plus the longest time of a call that revokes."""
MAX_RECENT = 10_000
"""How many of the last additions are stored for watchers. One that is further behind gets a snapshot."""
_RETRY_S = 0.5
_DIGESTS_PER_TURN = 64
"""Digests of buckets that are compared before the event loop runs other tasks."""


@dataclass(frozen=True)
class RevokedSetVersion:
    """A version of the set: how many keys had been added to it so far, and when it was read."""

    added_count: int
    as_of: datetime


@dataclass(frozen=True)
class RevocationUpdate:
    """An update for a watcher: revoked keys (all of them in a `snapshot`), or the time of a reading.

    `as_of` is None in an update with keys. The statement covers all keys that the watcher was sent; it is empty when
    there is none. `replaced_buckets` are those that differed from the watcher's; these keys are all keys in them.
    """

    snapshot: bool = False
    revocations: Sequence[Revocation] = ()
    as_of: datetime | None = None
    statement: str = ""
    replaced_buckets: Sequence[int] = ()


@dataclass(frozen=True)
class _SignedVersion:
    """A version with its signed statement; empty when it could not be signed."""

    version: RevokedSetVersion
    statement: str


class RevokedKeyFeed:
    """Reads revoked keys from the store and sends changes to watchers.

    The cost of an addition does not grow with the set: nothing is copied, and watchers are sent the addition alone.
    """

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._revocations: dict[str, Revocation] = {}
        self._expires_at_s: dict[str, int] = {}
        self._buckets = RevocationBuckets()
        self._expiry_heap: list[tuple[int, str]] = []
        self._ids: frozenset[str] | None = None
        self._added_count = 0
        self._recent: list[Revocation] = []
        self._as_of: datetime | None = None
        self._announced: RevokedSetVersion | None = None
        self._signed: _SignedVersion | None = None
        self._refresh_requested = asyncio.Event()
        self._changed = asyncio.Condition()
        self._listeners: list[Callable[[Sequence[Revocation]], None]] = []

    def is_revoked(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._revocations

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all revoked keys; the same object until the set changes."""
        if self._ids is None:
            self._ids = frozenset(self._revocations)
        return self._ids

    def on_change(self, listener: Callable[[Sequence[Revocation]], None]) -> None:
        """Registers a callback for every change. It gets the added keys; none when keys have only expired."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads all revoked keys, and refreshes them while entered."""
        async with self._store.listen_revoked(self._refresh_requested.set):
            await self.refresh()
            async with background(self._run, "revocations", clock=self._clock):
                yield

    async def refresh(self, lookback: timedelta = LOOKBACK) -> None:
        """Adds what was revoked since `lookback` before the last reading; everything on the first one.

        A key is never removed before it expires: a concurrent reading may have seen more. Expired keys are removed
        when others are added, or when the next reading is announced to watchers.
        """
        now = self._clock.now()
        found = await self._store.list_revocations(now, None if self._as_of is None else self._as_of - lookback)
        async with self._changed:
            as_of = now if self._as_of is None else max(now, self._as_of)
            self._apply(found, now, as_of)

    async def add(self, revocation: Revocation) -> None:
        """Adds a key whose revocation was committed just now, without a reading: the call that revoked it waits."""
        if self._as_of is None:
            await self.refresh()
            return
        now = self._clock.now()
        async with self._changed:
            self._apply([revocation] if revocation.expires_at > now else [], now, self._as_of)

    async def watch(self, bucket_digests: Sequence[int] = ()) -> AsyncIterator[RevocationUpdate]:
        """Yields a snapshot, then each addition at once, and the times of readings once these are signed.

        A watcher that passes a digest of each bucket gets the buckets whose digests differ instead of a snapshot.
        """
        async with self._changed:
            while self._as_of is None:
                await self._changed.wait()
        position = self._added_count
        sent: _SignedVersion | None = None
        yield await self._changed_buckets(bucket_digests) if len(bucket_digests) == BUCKETS else self._snapshot()
        while True:
            async with self._changed:
                while self._added_count == position and self._signed is sent:
                    await self._changed.wait()
            signed = self._signed
            if self._added_count != position or signed is None:
                update, position = self._added_since(position), self._added_count
            else:
                sent = signed
                # The statement does not cover a later reading that is not signed yet.
                statement = signed.statement if signed.version == self._announced else ""
                update = RevocationUpdate(as_of=signed.version.as_of, statement=statement)
            yield update

    async def wait_for_unsigned(self) -> None:
        """Waits for a reading without a statement."""
        async with self._changed:
            while self._announced is None or (self._signed is not None and self._signed.version == self._announced):
                await self._changed.wait()

    def newest_version(self) -> tuple[RevokedSetVersion, Mapping[str, int]]:
        """Returns the newest announced version, and by key id when each key expires, in seconds since 1970.

        LookupError before the first.
        """
        if self._announced is None:
            raise LookupError("the revoked keys are not read yet")
        return self._announced, self._expires_at_s.copy()

    async def publish_signed(self, version: RevokedSetVersion, statement: str) -> None:
        """Announces a version to watchers with its statement, which is empty when it could not be signed."""
        async with self._changed:
            self._signed = _SignedVersion(version, statement)
            self._changed.notify_all()

    def _apply(self, found: Sequence[Revocation], now: datetime, as_of: datetime) -> None:
        """Adds the keys of `found` that are new, and announces them; or the reading itself when one is due."""
        self._as_of = as_of
        added = {each.key_id: each for each in found if each.key_id not in self._revocations}
        due = self._announced is None or as_of - self._announced.as_of >= timedelta(seconds=ANNOUNCE_S)
        if not added and not due:
            return
        removed = self._remove_expired(now)
        self._add(added)
        self._announced = RevokedSetVersion(self._added_count, as_of)
        self._changed.notify_all()
        if added or removed:
            self._ids = None
            for listener in self._listeners:
                listener([*added.values()])

    def _add(self, added: Mapping[str, Revocation]) -> None:
        expires_at_s = expires_at_by_key_id(added.values())
        self._revocations |= added
        self._expires_at_s |= expires_at_s
        for key_id, at_s in expires_at_s.items():
            heapq.heappush(self._expiry_heap, (at_s, key_id))
        self._buckets.add(expires_at_s)
        self._added_count += len(added)
        self._recent += added.values()
        if len(self._recent) > 2 * MAX_RECENT:
            del self._recent[:-MAX_RECENT]

    def _remove_expired(self, now: datetime) -> bool:
        """Removes expired keys, by whole seconds as in statements; returns whether there were any."""
        now_s, before = int(now.timestamp()), len(self._revocations)
        while self._expiry_heap and self._expiry_heap[0][0] <= now_s:
            key_id = heapq.heappop(self._expiry_heap)[1]
            self._revocations.pop(key_id, None)
            self._expires_at_s.pop(key_id, None)
            self._buckets.remove(key_id)
        return len(self._revocations) < before

    def _added_since(self, position: int) -> RevocationUpdate:
        missing = self._added_count - position
        return (
            RevocationUpdate(revocations=self._recent[-missing:]) if missing <= len(self._recent) else self._snapshot()
        )

    def _snapshot(self) -> RevocationUpdate:
        return RevocationUpdate(snapshot=True, revocations=[*self._revocations.values()])

    async def _changed_buckets(self, bucket_digests: Sequence[int]) -> RevocationUpdate:
        """The keys of the buckets whose digests differ. What is added meanwhile is sent again afterwards."""
        differing = []
        for index, digest in enumerate(bucket_digests):
            if index % _DIGESTS_PER_TURN == 0:
                await asyncio.sleep(0)
            if self._buckets.digest(index) != digest:
                differing.append(index)
        revocations = [self._revocations[key_id] for index in differing for key_id in self._buckets.ids(index)]
        return RevocationUpdate(replaced_buckets=differing, revocations=revocations)

    async def _run(self) -> None:
        last_long: datetime | None = None
        while True:
            self._refresh_requested.clear()
            now = self._clock.now()
            lookback = lookback_at(now, last_long, LOOKBACK)
            try:
                await self.refresh(lookback)
                last_long = now if lookback == LONG_LOOKBACK else last_long
            except SomaError as error:
                get_logger("svc_gateway").warning("revocations not read", reason=error.reason.value)
                await self._clock.sleep(_RETRY_S)
                continue
            try:
                async with asyncio.timeout(POLL_S):
                    await self._refresh_requested.wait()
            except TimeoutError:
                continue


def expires_at_by_key_id(revocations: Iterable[Revocation]) -> dict[str, int]:
    """Returns by key id when each of these keys expires, in seconds since 1970."""
    return {each.key_id: expires_at_s(each.expires_at) for each in revocations}
