"""Publishes to Valkey streams: N partitions a topic, each event once."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.bus import PARTITIONS, partition_of
from mesh.events.streams import names, scripts
from mesh.events.streams.subscription import StreamSubscription
from mesh.ids import SystemIds
from mesh.stores import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.asyncio import Redis

    from mesh.clock import Clock
    from mesh.events.bus import Record
    from mesh.events.streams.cursors import Cursors
    from mesh.ids import Ids

_LEASE_S = 10.0


class ValkeyStreams:
    """The bus port on Valkey. Groups are created from a cursor, never from the end of a stream.

    A partition is read by one member of a group at a time, for `lease_s` seconds after the member's last sign of life.
    Records are kept for `retention`; an event id that is published again within `dedup_window` is passed over.
    """

    def __init__(
        self,
        client: Redis,
        cursors: Cursors,
        *,
        partitions: int = PARTITIONS,
        lease_s: float = _LEASE_S,
        retention: timedelta = timedelta(days=3),
        dedup_window: timedelta = timedelta(hours=1),
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self._client = client
        self._cursors = cursors
        self._partitions = partitions
        self._lease_s = lease_s
        self._times = [_milliseconds(retention), _milliseconds(dedup_window)]
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._publish = client.register_script(scripts.PUBLISH)
        self._store_epoch: str | None = None

    async def publish(self, records: Sequence[Record]) -> None:
        """Append records in their order; those that were published before are passed over.

        Raise DEPENDENCY_UNAVAILABLE when Valkey was emptied since `epoch` was asked last.
        """
        if self._store_epoch is None:
            self._store_epoch = await self.store_epoch()
        streams: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in records:
            streams[record.topic, partition_of(record.key, self._partitions)].append(record)
        with valkey.translate_errors(), _translate_loss():
            async with self._client.pipeline(transaction=False) as pipeline:
                for (topic, partition), group in streams.items():
                    seen = (names.seen(topic, each.event_id) for each in group)
                    keys = [names.EPOCH, names.stream(topic, partition), *seen]
                    fields = [field for each in group for field in (each.key, each.event_id, each.value)]
                    await self._publish(keys=keys, args=[self._store_epoch, *self._times, *fields], client=pipeline)
                await pipeline.execute()

    def subscribe(self, group: str, topics: Sequence[str]) -> StreamSubscription:
        """A new member of a group; enter it to receive."""
        return StreamSubscription(
            self._client,
            self._cursors,
            group=group,
            topics=topics,
            member=self._ids.new(),
            partitions=self._partitions,
            lease_s=self._lease_s,
            clock=self._clock,
            store_epoch=self.store_epoch,
        )

    async def ping(self) -> None:
        """Return when Valkey answers."""
        with valkey.translate_errors():
            await self._client.ping()

    async def epoch(self) -> str:
        """Changes with each start of the server, which may cost its last second, and when it was emptied."""
        with valkey.translate_errors():
            server = await self._client.info("server")
        self._store_epoch = await self.store_epoch()
        return f"{server['run_id']}/{self._store_epoch}"

    async def store_epoch(self) -> str:
        """A value that lives as long as what is stored in Valkey."""
        with valkey.translate_errors():
            await self._client.set(names.EPOCH, self._ids.new(), nx=True)
            store_epoch = await self._client.get(names.EPOCH)
        return store_epoch.decode() if isinstance(store_epoch, bytes) else str(store_epoch)


@contextmanager
def _translate_loss() -> Iterator[None]:
    """Raise DEPENDENCY_UNAVAILABLE for a bus that has lost stored events."""
    try:
        yield
    except ResponseError as error:
        if scripts.LOST not in str(error):
            raise
        raise SomaError(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The event bus has lost stored events; they are sent again before new ones",
            metadata={"component": "bus"},
            retry_after_s=1.0,
        ) from error


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
