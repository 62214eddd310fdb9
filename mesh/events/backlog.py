"""Deliveries in hand: a queue for each key, of which each is worked on by one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mesh.events.bus import Delivery

Key: TypeAlias = tuple[str, str]
"""Topic and key."""


class Backlog:
    """Gives deliveries in batches; a key whose deliveries were taken waits until it is freed.

    Takes no more while `room` deliveries or more are in hand, those taken included.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._in_flight = 0
        self._queues: dict[Key, deque[Delivery]] = {}
        self._free: dict[Key, None] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, deliveries: Sequence[Delivery]) -> None:
        """Append deliveries to the queues of their keys; waits for room."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._in_flight < self._room or self._closed)
            self._in_flight += len(deliveries)
            for delivery in deliveries:
                key = (delivery.topic, delivery.key)
                queue = self._queues.get(key)
                if queue is None:
                    queue = self._queues[key] = deque()
                    self._free[key] = None
                queue.append(delivery)
            self._changed.notify_all()

    async def take(self, limit: int) -> list[Delivery]:
        """Take what waits in free keys, in order per key, at least one; nothing once closed. Their keys are held."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free or self._closed)
            taken: list[Delivery] = []
            while self._free and len(taken) < limit and not self._closed:
                key = next(iter(self._free))
                del self._free[key]
                queue = self._queues[key]
                while queue and len(taken) < limit:
                    taken.append(queue.popleft())
            return taken

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put deliveries that were taken back in front of their keys, which stay held."""
        for delivery in reversed(deliveries):
            self._queues[delivery.topic, delivery.key].appendleft(delivery)

    async def done(self, count: int, keys: Iterable[Key]) -> None:
        """Make room for so many deliveries, and free the keys."""
        async with self._changed:
            self._in_flight -= count
            for key in keys:
                if self._queues[key]:
                    self._free[key] = None
                else:
                    del self._queues[key]
            self._changed.notify_all()

    async def close(self) -> None:
        """Give nothing more."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


def divide(batch: Sequence[Delivery], failed: Mapping[Key, Delivery]) -> tuple[Sequence[Delivery], Sequence[Delivery]]:
    """What of a batch is done with, and what waits behind the delivery of its key that has failed."""
    if not failed:
        return batch, ()
    done: list[Delivery] = []
    waiting: list[Delivery] = []
    passed: set[Key] = set()
    for delivery in batch:
        key = (delivery.topic, delivery.key)
        if key in passed:
            waiting.append(delivery)
        elif failed.get(key) is delivery:
            passed.add(key)
        else:
            done.append(delivery)
    return done, waiting
