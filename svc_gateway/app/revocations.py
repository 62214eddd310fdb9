"""The set of revoked keys in memory: what this process refuses and tells everyone else to refuse."""

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
from svc_gateway.app.lookback import LONG_LOOKBACK, lookback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_gateway.app.ports import KeyStore
    from svc_gateway.domain.keys import Revocation

POLL_S = 0.5
"""Reads new revocations at least this often: a notification may be lost, and a revocation counts within a second."""
RENEW_S = 60.0
"""Tells watchers at least this often when the set was read, in seconds."""
LOOKBACK = timedelta(minutes=1)
"""How far most readings go back: more than clocks may differ and a call that revokes may take, together."""
RECENT = 10_000
"""How many of the last additions are kept for watchers. One that is further behind gets the whole set again."""
_RETRY_S = 0.5
_COMPARED_AT_ONCE = 64
"""Buckets whose digests are compared before others may run."""


@dataclass(frozen=True)
class SetVersion:
    """A state of the set: how many keys had ever been added to it, and when it was read."""

    added: int
    as_of: datetime


@dataclass(frozen=True)
class Change:
    """What a watcher hears: revoked keys, `snapshot` being true for the whole set, or when the set was read.

    `as_of` is None with keys. The statement is on all that the watcher has heard, and empty when there is none. Of the
    buckets in `replaced_buckets` the watcher had another state; these keys are all that are in them.
    """

    snapshot: bool = False
    revocations: Sequence[Revocation] = ()
    as_of: datetime | None = None
    statement: str = ""
    replaced_buckets: Sequence[int] = ()


@dataclass(frozen=True)
class _SignedVersion:
    """A reading, and the statement on it; empty when it could not be signed."""

    version: SetVersion
    statement: str


class RevokedKeys:
    """Follows the store. Call it to ask about a key id.

    What an addition costs does not grow with the set: nothing is copied, and each watcher hears the addition alone.
    """

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._current: dict[str, Revocation] = {}
        self._until: dict[str, int] = {}
        self._buckets = RevocationBuckets()
        self._ends: list[tuple[int, str]] = []
        self._ids: frozenset[str] | None = None
        self._added = 0
        self._recent: list[Revocation] = []
        self._as_of: datetime | None = None
        self._announced: SetVersion | None = None
        self._signed: _SignedVersion | None = None
        self._stale = asyncio.Event()
        self._changed = asyncio.Condition()
        self._listeners: list[Callable[[Sequence[Revocation]], None]] = []

    def __call__(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._current

    @property
    def ids(self) -> frozenset[str]:
        """All of them; the same object until the set changes."""
        if self._ids is None:
            self._ids = frozenset(self._current)
        return self._ids

    def on_change(self, listener: Callable[[Sequence[Revocation]], None]) -> None:
        """Call with what was added, after every change; with nothing when keys have only left."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the set, and keep it current while entered."""
        async with self._store.listen(self._stale.set):
            await self.refresh()
            async with background(self._follow, "revocations", clock=self._clock):
                yield

    async def refresh(self, back: timedelta = LOOKBACK) -> None:
        """Add what the store has from `back` before the last reading on; all of it at the first one.

        Nothing is taken back before it expires: another reader may have seen more.

        Keys that have expired, which nothing asks for any more, leave the set when others come, or when watchers are
        next told of a reading.
        """
        now = self._clock.now()
        found = await self._store.revocations(now, None if self._as_of is None else self._as_of - back)
        async with self._changed:
            as_of = now if self._as_of is None else max(now, self._as_of)
            self._take(found, now, as_of)

    async def add(self, revocation: Revocation) -> None:
        """Add a key whose revocation was committed just now, without a reading: whoever revoked it waits for this."""
        if self._as_of is None:
            await self.refresh()
            return
        now = self._clock.now()
        async with self._changed:
            self._take([revocation] if revocation.expires_at > now else [], now, self._as_of)

    async def watch(self, bucket_digests: Sequence[int] = ()) -> AsyncIterator[Change]:
        """The whole set, then each addition at once; in between when the set was read, once that is signed.

        A watcher that has a digest of each bucket gets what is in the buckets with other digests, not the whole set.
        """
        async with self._changed:
            while self._as_of is None:
                await self._changed.wait()
        place = self._added
        sent: _SignedVersion | None = None
        yield await self._differing(bucket_digests) if len(bucket_digests) == BUCKETS else self._whole()
        while True:
            async with self._changed:
                while self._added == place and self._signed is sent:
                    await self._changed.wait()
            signed = self._signed
            if self._added != place or signed is None:
                change, place = self._since(place), self._added
            else:
                sent = signed
                # A later reading, which is not signed yet, is of another set than this statement.
                statement = signed.statement if signed.version == self._announced else ""
                change = Change(as_of=signed.version.as_of, statement=statement)
            yield change

    async def wait_unsigned(self) -> None:
        """Waits for a reading that has no statement yet."""
        async with self._changed:
            while self._announced is None or (self._signed is not None and self._signed.version == self._announced):
                await self._changed.wait()

    def current(self) -> tuple[SetVersion, Mapping[str, int]]:
        """The newest reading that watchers are told of, with when each key expires, in seconds since 1970.

        LookupError before the first.
        """
        if self._announced is None:
            raise LookupError("the revoked keys are not read yet")
        return self._announced, self._until.copy()

    async def publish_signed(self, version: SetVersion, statement: str) -> None:
        """Tell watchers of a reading, with the statement on it; an empty one when it cannot be signed."""
        async with self._changed:
            self._signed = _SignedVersion(version, statement)
            self._changed.notify_all()

    def _take(self, found: Sequence[Revocation], now: datetime, as_of: datetime) -> None:
        """Add what is not known of `found`, and tell it, or that there was a reading `as_of` when that is due."""
        self._as_of = as_of
        added = {item.key_id: item for item in found if item.key_id not in self._current}
        due = self._announced is None or as_of - self._announced.as_of >= timedelta(seconds=RENEW_S)
        if not added and not due:
            return
        forgotten = self._forget(now)
        self._add(added)
        self._announced = SetVersion(self._added, as_of)
        self._changed.notify_all()
        if added or forgotten:
            self._ids = None
            for listener in self._listeners:
                listener([*added.values()])

    def _add(self, added: Mapping[str, Revocation]) -> None:
        ends = ends_of(added.values())
        self._current |= added
        self._until |= ends
        for key_id, end in ends.items():
            heapq.heappush(self._ends, (end, key_id))
        self._buckets.add(ends)
        self._added += len(added)
        self._recent += added.values()
        if len(self._recent) > 2 * RECENT:
            del self._recent[:-RECENT]

    def _forget(self, now: datetime) -> bool:
        """Drop what has expired, in the whole seconds that statements count in; whether there was any."""
        moment, before = int(now.timestamp()), len(self._current)
        while self._ends and self._ends[0][0] <= moment:
            key_id = heapq.heappop(self._ends)[1]
            self._current.pop(key_id, None)
            self._until.pop(key_id, None)
            self._buckets.remove(key_id)
        return len(self._current) < before

    def _since(self, place: int) -> Change:
        missing = self._added - place
        return Change(revocations=self._recent[-missing:]) if missing <= len(self._recent) else self._whole()

    def _whole(self) -> Change:
        return Change(snapshot=True, revocations=[*self._current.values()])

    async def _differing(self, bucket_digests: Sequence[int]) -> Change:
        """What is in the buckets with other digests than these. What is added meanwhile is sent again afterwards."""
        differing = []
        for index, digest in enumerate(bucket_digests):
            if index % _COMPARED_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self._buckets.digest(index) != digest:
                differing.append(index)
        found = [self._current[key_id] for index in differing for key_id in self._buckets.ids(index)]
        return Change(replaced_buckets=differing, revocations=found)

    async def _follow(self) -> None:
        last_long: datetime | None = None
        while True:
            self._stale.clear()
            now = self._clock.now()
            back = lookback(now, last_long, LOOKBACK)
            try:
                await self.refresh(back)
                last_long = now if back == LONG_LOOKBACK else last_long
            except SomaError as error:
                get_logger("svc_gateway").warning("revocations not read", reason=error.reason.value)
                await self._clock.sleep(_RETRY_S)
                continue
            try:
                async with asyncio.timeout(POLL_S):
                    await self._stale.wait()
            except TimeoutError:
                continue


def ends_of(revocations: Iterable[Revocation]) -> dict[str, int]:
    """When each of these keys expires, in seconds since 1970."""
    return {item.key_id: expires_at_s(item.expires_at) for item in revocations}
