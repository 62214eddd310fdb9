"""Consumers with planted bugs, which the check of poison must catch."""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Self

from mesh import tasks
from mesh.events.applying import Applier, ApplyError
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from mesh.events.bus import Bus, Delivery, Subscription


class _BuggyConsumer(ABC):
    """Reads its deliveries one after the other and applies them as the real consumer does."""

    def __init__(self, bus: Bus, applier: Applier, group: str, topic: str) -> None:
        self._bus = bus
        self._applier = applier
        self._group = group
        self._topic = topic
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            subscription = await stack.enter_async_context(self._bus.subscribe(self._group, [self._topic]))
            reading = asyncio.create_task(self._read(subscription))
            stack.push_async_callback(tasks.end, reading)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _read(self, subscription: Subscription) -> None:
        async for batch in subscription:
            for delivery in batch:
                await self._settle(delivery)
                await subscription.ack(delivery)

    @abstractmethod
    async def _settle(self, delivery: Delivery) -> None:
        """Bring a delivery to its end; it is acknowledged afterwards."""

    async def _apply(self, delivery: Delivery) -> bool:
        try:
            work = self._applier.read(delivery)
            if work is not None:
                await self._applier.apply([work])
        except ApplyError:
            return False
        return True


class EndlessRetryConsumer(_BuggyConsumer):
    """Tries poison again without end; what is behind it in the partition waits."""

    async def _settle(self, delivery: Delivery) -> None:
        await eventually(partial(self._apply, delivery), within_s=math.inf)


class SkippingConsumer(_BuggyConsumer):
    """Passes over what fails, and tells nobody."""

    async def _settle(self, delivery: Delivery) -> None:
        await self._apply(delivery)
