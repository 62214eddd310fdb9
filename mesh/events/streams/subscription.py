"""Reads Valkey streams as one member of a group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from redis.exceptions import RedisError, ResponseError

from mesh.errors import SomaError
from mesh.events.bus import Delivery
from mesh.events.progress import PartitionProgress
from mesh.events.streams import names, scripts
from mesh.events.streams.cursors import Cursor
from mesh.lifecycle import background
from mesh.stores import valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from mesh.clock import Clock
    from mesh.events.streams.cursors import Cursors

_BATCH = 100
_BATCHES_AHEAD = 4
_LONGEST_BLOCK_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_LAG_COUNTED = 10_000
_START = "0-0"
_log = logging.getLogger(__name__)

_Entries: TypeAlias = "Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]"


class StreamSubscription:
    """One member of a group: keeps its lease, reads its partitions, notes how far they are done."""

    def __init__(
        self,
        client: Redis,
        cursors: Cursors,
        *,
        group: str,
        topics: Sequence[str],
        member: str,
        partitions: int,
        lease_s: float,
        clock: Clock,
        store_epoch: Callable[[], Awaitable[str]],
    ) -> None:
        self._client = client
        self._cursors = cursors
        self._group = group
        self._topics = tuple(topics)
        self._member = member
        self._partitions = partitions
        self._lease_s = lease_s
        self._clock = clock
        self._store_epoch = store_epoch
        self._rebalance_script = client.register_script(scripts.REBALANCE)
        self._leave = client.register_script(scripts.LEAVE)
        self._queue: asyncio.Queue[list[Delivery] | None] = asyncio.Queue(_BATCHES_AHEAD)
        self._readers: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self._progress: dict[str, PartitionProgress] = {}
        self._store_epochs: dict[str, str] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        """Join the group: one reader for each topic."""
        for topic in self._topics:
            reading = background(partial(self._read, topic), f"stream.{topic}.{self._group}", clock=self._clock)
            self._readers.append(await self._stack.enter_async_context(reading))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave the group; what was not acknowledged goes to whoever reads the partitions next."""
        self.close()
        await self._stack.aclose()
        with contextlib.suppress(RedisError, OSError, SomaError):  # else the lease runs out by itself
            await self._save()
            for topic in self._topics:
                await self._leave(keys=self._group_keys(topic), args=[self._member, self._partitions])

    async def __aiter__(self) -> AsyncIterator[Sequence[Delivery]]:
        """Batches of deliveries, in order per partition, until closed."""
        while (batch := await self._queue.get()) is not None:
            yield batch

    def close(self) -> None:
        """End the iteration."""
        if self._closed:
            return
        self._closed = True
        for reader in self._readers:
            reader.cancel()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def ack(self, *deliveries: Delivery) -> None:
        """Say that deliveries are done with."""
        positions: defaultdict[str, list[str]] = defaultdict(list)
        for delivery in deliveries:
            positions[names.stream(delivery.topic, delivery.partition)].append(delivery.position)
        with valkey.translate_errors():
            async with self._client.pipeline(transaction=False) as pipeline:
                for stream, done in positions.items():
                    pipeline.xack(stream, self._group, *done)
                await pipeline.execute()
        for stream, done in positions.items():
            if stream in self._progress:
                for position in done:
                    self._progress[stream].done(position)

    async def lag(self) -> int:
        """Records of the topics that the group has not acknowledged; counted up to 10,000 where Valkey cannot tell."""
        total = 0
        with valkey.translate_errors():
            for topic in self._topics:
                for partition in range(self._partitions):
                    total += await self._lag_of(names.stream(topic, partition))
        return total

    async def _lag_of(self, stream: str) -> int:
        try:
            groups = await self._client.xinfo_groups(stream)
        except ResponseError:
            return 0
        for group in groups:
            if group["name"] == self._group.encode():
                waiting = group["lag"]
                if waiting is None:
                    after = f"({group['last-delivered-id'].decode()}"
                    waiting = len(await self._client.xrange(stream, after, "+", _LAG_COUNTED) or ())
                return int(waiting) + int(group["pending"])
        return int(await self._client.xlen(stream))

    async def _read(self, topic: str) -> None:
        """Read one topic until closed; start over with everything unfinished after any failure."""
        pause = _FIRST_PAUSE_S
        while not self._closed:
            try:
                await self._read_until_failure(topic)
            except ResponseError as error:
                if "NOGROUP" not in str(error):
                    _log.error("reading %s for %s failed: %s", topic, self._group, error)
                else:  # Valkey was emptied
                    _log.warning("%s lost its place in %s and takes it up from its cursor", self._group, topic)
            except Exception as error:  # noqa: BLE001 - an outage: reading must go on after it
                _log.warning("%s cannot read %s now: %s", self._group, topic, error)
            else:
                pause = _FIRST_PAUSE_S
                continue
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _read_until_failure(self, topic: str) -> None:
        reading: set[int] = set()
        while not self._closed:
            renew_at = self._clock.monotonic() + self._lease_s / 3
            owned = set(await self._rebalance_script(keys=self._group_keys(topic), args=self._share_arguments()))
            for partition in sorted(owned - reading):
                await self._take_over(topic, partition)
            reading = owned
            while not self._closed and (remaining := renew_at - self._clock.monotonic()) > 0:
                await self._read_new(topic, sorted(reading), remaining)
            await self._save()

    async def _take_over(self, topic: str, partition: int) -> None:
        """Take up a partition where its last reader left it: first what was delivered and not acknowledged."""
        stream = names.stream(topic, partition)
        store_epoch = await self._store_epoch()
        cursor = await self._cursors.load(self._group, stream)
        start = cursor.position if cursor is not None and cursor.epoch == store_epoch else _START
        try:
            await self._client.xgroup_create(stream, self._group, start, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # it exists: the usual case
                raise
        self._progress[stream] = PartitionProgress()
        self._store_epochs[stream] = store_epoch
        position = _START.encode()
        while True:
            answer = await self._client.xautoclaim(stream, self._group, self._member, 0, position, _BATCH)
            position, entries = cast("tuple[bytes, _Entries]", tuple(answer[:2]))
            await self._hand_on(topic, self._received(topic, partition, entries))
            if position == _START.encode():
                return

    async def _read_new(self, topic: str, partitions: Sequence[int], seconds: float) -> None:
        block_s = min(seconds, _LONGEST_BLOCK_S)
        if not partitions:
            await self._clock.sleep(block_s)
            return
        numbers = {names.stream(topic, partition): partition for partition in partitions}
        answer = await self._client.xreadgroup(
            self._group, self._member, dict.fromkeys(numbers, ">"), count=_BATCH, block=max(1, int(block_s * 1000))
        )
        batch: list[Delivery] = []
        for stream, entries in cast("list[tuple[bytes, _Entries]]", answer or []):
            batch += self._received(topic, numbers[stream.decode()], entries)
        await self._hand_on(topic, batch)

    def _received(self, topic: str, partition: int, entries: _Entries) -> list[Delivery]:
        stream = names.stream(topic, partition)
        batch = []
        for id_, fields in entries:
            if fields is None:  # trimmed before it was read
                _log.error("an event of %s was dropped by retention before %s read it", topic, self._group)
                continue
            position = id_.decode()
            self._progress[stream].delivered(position)
            event_id = fields.get(b"id", b"").decode(errors="replace") or f"{stream}/{position}"
            key = fields.get(b"key", b"").decode(errors="replace")
            batch.append(Delivery(topic, partition, position, key, event_id, fields.get(b"value", b"")))
        return batch

    async def _hand_on(self, topic: str, batch: list[Delivery]) -> None:
        """Wait until the batch is wanted, and keep the lease meanwhile."""
        while batch:
            try:
                async with asyncio.timeout(self._lease_s / 3):
                    await self._queue.put(batch)
            except TimeoutError:
                await self._rebalance_script(keys=self._group_keys(topic), args=self._share_arguments())
            else:
                return

    async def _save(self) -> None:
        for stream, progress in self._progress.items():
            position = progress.unsaved()
            if position is not None:
                await self._cursors.save(self._group, stream, Cursor(self._store_epochs[stream], position))
                progress.saved(position)

    def _group_keys(self, topic: str) -> list[str]:
        return [names.members(topic, self._group), names.owners(topic, self._group)]

    def _share_arguments(self) -> list[str | int]:
        return [self._member, int(self._lease_s * 1000), self._partitions]
