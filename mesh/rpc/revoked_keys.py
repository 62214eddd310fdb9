"""The key ids that must be refused, as the gateway streams them."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from mesh.errors import SomaError
from mesh.identity.revocation_buckets import RevocationBuckets, without_buckets
from mesh.identity.signed_statements import StoredRevocations, expires_at_s
from mesh.logging import get_logger
from mesh.rpc.wellknown import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from mesh.clock import Clock
    from mesh.identity.signed_statements import RevocationsFile
    from soma.gateway.v1.identity_service_pb2 import WatchRevocationsResponse

PAUSE_S = 0.2
MAX_AGE_S = 900.0
STORE_PAUSE_S = 1.0
"""How long after a change the file is written, in seconds, with all that has changed by then."""
PAUSE_FACTOR = 20
"""The file is written only after so many times as long as writing it took last: with very many keys, less often."""
_NEVER = 253_402_300_799
"""Seconds since 1970 that stand for a key without an end: the end of the year 9999."""

_log = get_logger(__name__)


Watch: TypeAlias = "Callable[[Sequence[int]], AsyncIterable[WatchRevocationsResponse]]"
"""Opens the gateway's stream, with the digests of the buckets that are known; none when nothing is."""


class RevokedKeys:
    """Says whether a key is revoked. A key leaves the set when it expires: no gateway takes back what another told.

    `is_current` says whether the set is known as of at most `max_age_s` seconds ago. With a file, which `persist_file`
    writes, the set outlives the process.
    """

    def __init__(self, clock: Clock, file: RevocationsFile | None = None, max_age_s: float = MAX_AGE_S) -> None:
        self._clock = clock
        self._file = file
        self._max_age_s = max_age_s
        self._until: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        self._listeners: list[Callable[[Iterable[str]], None]] = []
        self._parts = _PartialUpdate()
        self._sent = _GatewayState()
        self._unsaved = asyncio.Event()
        self._as_of: int | None = None
        self._received = asyncio.Event()

    def __call__(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._until

    def on_revoked(self, listener: Callable[[Iterable[str]], None]) -> None:
        """Call with the ids of keys as soon as they are known to be revoked."""
        self._listeners.append(listener)

    def add(self, revoked: Mapping[str, int]) -> None:
        """Refuse keys until they expire, in seconds since 1970, and drop those that have expired.

        A key that was known with a later end keeps it.
        """
        now = self._clock.now().timestamp()
        while self._ends and self._ends[0][0] <= now:
            end = heapq.heappop(self._ends)
            if self._until.get(end[1], now + 1) <= now:
                del self._until[end[1]]
                self._sent.expired.append(end)
        added = [key_id for key_id in revoked if key_id not in self._until]
        for key_id, until in revoked.items():
            if until > self._until.get(key_id, 0):
                self._until[key_id] = until
                heapq.heappush(self._ends, (until, key_id))
        for listener in self._listeners if added else ():
            listener(added)

    def is_current(self) -> bool:
        """Whether a gateway's whole set was read recently enough to accept what is not in it."""
        return self._as_of is not None and self._clock.now().timestamp() - self._as_of <= self._max_age_s

    async def restore(self) -> None:
        """Take in the set on disk, of an earlier process."""
        if self._file is None:
            return
        try:
            found = await asyncio.to_thread(self._file.read)
        except OSError as error:
            _log.warning("the revoked keys on disk cannot be read", error=type(error).__name__)
            return
        if found is not None:
            as_of, stored = found
            self.add({**stored.extra, **stored.revoked})
            self._sent = _GatewayState({**stored.revoked}, as_of, stored.statement)
            self._complete(as_of)

    async def wait_current(self, within_s: float) -> bool:
        """Wait until a gateway has told its set; false when none has within the time, and no earlier set is current."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._received.wait()
        return self.is_current()

    async def follow(self, watch: Watch) -> None:
        """Follows the stream for ever, opening it again after each cut with what is known by then."""
        connected = True
        while True:
            self._parts = _PartialUpdate()
            try:
                async for message in watch(await self._bucket_digests()):
                    await self._take(message)
                    connected = True
            except SomaError as error:
                if connected:
                    _log.warning("revocations are not heard", reason=error.reason.value)
                connected = False
            await self._clock.sleep(PAUSE_S)

    async def persist_file(self) -> None:
        """Keeps the file true to the set for ever: written a second after a change at the latest, and when cancelled.

        All services hear of a revocation in the same moment: whoever revokes does not wait for all of them to write.
        """
        pause_s = STORE_PAUSE_S
        try:
            while True:
                await self._unsaved.wait()
                await self._clock.sleep(pause_s)
                began = self._clock.monotonic()
                await self._store()
                pause_s = max(STORE_PAUSE_S, PAUSE_FACTOR * (self._clock.monotonic() - began))
        finally:
            if self._unsaved.is_set():
                await self._store()

    async def _bucket_digests(self) -> Sequence[int]:
        """Of what gateways have told; in a thread, since it may be much."""
        revoked = self._sent.revoked
        return await asyncio.to_thread(lambda: RevocationBuckets(revoked).digests()) if revoked else ()

    async def _take(self, message: WatchRevocationsResponse) -> None:
        revoked = {item.key_id: _seconds(item.expire_time) for item in message.revocations}
        self.add(revoked)
        if message.snapshot:
            self._parts = _PartialUpdate(snapshot=True)
        self._parts.revoked.update(revoked)
        self._parts.replaced.update(message.replaced_buckets)
        as_of = moment(message.as_of)
        if as_of is None:
            return
        parts, self._parts = self._parts, _PartialUpdate()
        if parts.snapshot:
            self._sent.revoked = parts.revoked
        else:
            if parts.replaced:
                self._sent.revoked = await asyncio.to_thread(without_buckets, self._sent.revoked, parts.replaced)
            self._sent.revoked.update(parts.revoked)
        self._sent.as_of = int(as_of.timestamp())
        self._sent.remove_expired()
        self._complete(self._sent.as_of)
        self._received.set()
        if message.statement or parts.revoked or parts.replaced:  # without either what is on disk is still whole
            self._sent.statement = message.statement
            self._unsaved.set()

    def _complete(self, as_of: int) -> None:
        self._as_of = max(as_of, self._as_of or 0)

    async def _store(self) -> None:
        """Keep the set on disk as it is now. It is sorted, hashed and written in a thread, since it may be large."""
        self._unsaved.clear()
        if self._file is None:
            return
        sent = self._sent
        stored = StoredRevocations(sent.statement, sent.revoked.copy(), self._until.copy())
        writing = asyncio.get_running_loop().run_in_executor(None, _write, self._file, stored)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait((writing,))  # the next write must not run beside this one
            raise


@dataclass
class _PartialUpdate:
    """What a gateway has told of a change, or of its whole set, before it has told all of it."""

    snapshot: bool = False
    revoked: dict[str, int] = field(default_factory=dict)
    replaced: set[int] = field(default_factory=set)


@dataclass
class _GatewayState:
    """What the gateway that is heard has told in all, as of a moment in seconds since 1970, and its statement on it.

    `expired` holds keys that have expired by this machine's clock, as (end, key id); the gateway's may be behind it.
    """

    revoked: dict[str, int] = field(default_factory=dict)
    as_of: int = 0
    statement: str = ""
    expired: deque[tuple[int, str]] = field(default_factory=deque)

    def remove_expired(self) -> None:
        """Drop the keys that had expired when the gateway read its set."""
        while self.expired and self.expired[0][0] <= self.as_of:
            end, key_id = self.expired.popleft()
            if self.revoked.get(key_id) == end:
                del self.revoked[key_id]


def _write(file: RevocationsFile, known: StoredRevocations) -> None:
    """Put a set on disk, `extra` being all known keys.

    What cannot be kept leaves nothing there, since an older set would lack revocations.
    """
    try:
        if file.verified_as_of(known.statement, known.revoked) is None:
            _log.warning("the revoked keys are not kept on disk: they are not signed")
            file.remove()
            return
        extra = {key_id: until for key_id, until in known.extra.items() if key_id not in known.revoked}
        file.write(replace(known, extra=extra))
    except OSError as error:
        _log.warning("the revoked keys are not kept on disk", error=type(error).__name__)
        with suppress(OSError):
            file.remove()


def _seconds(expire_time: Timestamp) -> int:
    until = moment(expire_time)
    return _NEVER if until is None else expires_at_s(until)
