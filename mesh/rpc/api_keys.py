"""The API keys that exist, as the gateway streams them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from mesh.errors import SomaError
from mesh.identity.key_ids import Existence, KeyIds, id_of
from mesh.logging import get_logger
from mesh.lru import LruMap
from mesh.rpc.revoked_keys import MAX_AGE_S, PAUSE_S
from mesh.rpc.wellknown import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Sequence

    from mesh.clock import Clock
    from mesh.identity.signed_statements import KeyIdsFile
    from soma.gateway.v1.identity_service_pb2 import WatchApiKeysResponse

CLOCK_TOLERANCE_S = 60.0
"""A credential that was issued so many seconds before a reading has its key in it: twice what clocks may differ."""
CONFIRM_S = 2.0
"""How long a call waits until it is known whether its key exists, in seconds."""
READINGS_TO_CONFIRM = 3
"""A key that is in none of so many readings, told after a call came in, does not exist. The first may have been on its
way before the call; the gateway pauses before each further one."""
MAX_WAITING = 256
"""Calls that wait at the same time; more are refused at once."""
_REMEMBERED = 4_096

_log = get_logger(__name__)


Watch: TypeAlias = "Callable[[Sequence[int]], AsyncIterable[WatchApiKeysResponse]]"
"""Opens the gateway's stream, with the digests of the buckets that are known."""


class ExistingKeys:
    """Says whether a key exists: exactly what the gateway that is heard says. With a file it outlives the process.

    A key that was made a moment ago may not be among them yet. Whether it exists is then told by `confirm`, which
    waits until the gateway has read its keys again.
    """

    def __init__(self, clock: Clock, file: KeyIdsFile | None = None, max_age_s: float = MAX_AGE_S) -> None:
        self._clock = clock
        self._file = file
        self._max_age_s = max_age_s
        self._ids = KeyIds()
        self._pending: dict[int, bytes] = {}
        self._as_of: float | None = None
        self._readings = 0
        self._waiting = 0
        self._updated = asyncio.Condition()
        self._absent: LruMap[bytes, bool] = LruMap(_REMEMBERED)

    def __len__(self) -> int:
        return len(self._ids)

    def is_current(self) -> bool:
        """Whether the gateway read the keys recently enough to accept those among them."""
        return self._as_of is not None and self._clock.now().timestamp() - self._as_of <= self._max_age_s

    def existence_of(self, tenant_id: str, key_id: str, issued_at: float) -> Existence:
        """What is known of the key behind a credential that was issued at a time, in seconds since 1970."""
        own = id_of(tenant_id, key_id)
        if own in self._ids:
            return Existence.EXISTS
        if self._absent.get(own) or (self._as_of is not None and issued_at + CLOCK_TOLERANCE_S < self._as_of):
            return Existence.ABSENT
        return Existence.UNCONFIRMED

    async def confirm(self, tenant_id: str, key_id: str) -> None:
        """Wait until it is known whether the key exists; gives up after two seconds without news of the gateway."""
        if self._waiting >= MAX_WAITING:
            return
        own, last = id_of(tenant_id, key_id), self._readings + READINGS_TO_CONFIRM
        self._waiting += 1
        try:
            async with asyncio.timeout(CONFIRM_S), self._updated:
                await self._updated.wait_for(lambda: own in self._ids or self._readings >= last)
        except TimeoutError:
            return
        finally:
            self._waiting -= 1
        if own not in self._ids:
            self._absent.get_or_create(own, lambda: True)

    async def restore(self) -> None:
        """Take in the keys on disk, of an earlier process."""
        if self._file is None:
            return
        try:
            found = await asyncio.to_thread(self._file.read)
        except OSError as error:
            _log.warning("the API keys on disk cannot be read", error=type(error).__name__)
            return
        if found is not None:
            self._as_of, self._ids = found

    async def wait_current(self, within_s: float) -> bool:
        """Wait until a gateway has told its keys; false when none has in time, and no earlier ones are current."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._updated:
                await self._updated.wait_for(lambda: self._readings > 0)
        return self.is_current()

    async def follow(self, watch: Watch) -> None:
        """Follows the stream for ever, opening it again after each cut with what is known by then."""
        connected = True
        while True:
            self._pending = {}
            try:
                async for message in watch(self._ids.bucket_digests):
                    await self._take(message)
                    connected = True
            except SomaError as error:
                if connected:
                    _log.warning("API keys are not heard of", reason=error.reason.value)
                connected = False
            await self._clock.sleep(PAUSE_S)

    async def _take(self, message: WatchApiKeysResponse) -> None:
        self._pending.update((bucket.index, bucket.ids) for bucket in message.buckets)
        as_of = moment(message.as_of)
        if as_of is None:
            return
        async with self._updated:
            if self._pending:
                self._ids = self._ids.with_buckets(self._pending)
                self._pending = {}
            self._as_of = as_of.timestamp()
            self._readings += 1
            self._updated.notify_all()
        if message.statement and self._file is not None:
            await self._store(self._file, message.statement)

    async def _store(self, file: KeyIdsFile, statement: str) -> None:
        """Keep the keys on disk. What cannot be kept leaves the last ones there: those made since are unconfirmed."""
        try:
            if not await asyncio.to_thread(file.write, statement, self._ids):
                _log.warning("the API keys are not kept on disk: they are not signed")
        except OSError as error:
            _log.warning("the API keys are not kept on disk", error=type(error).__name__)
