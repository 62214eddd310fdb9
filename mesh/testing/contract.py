"""Waiting for conditions, and what contract suites share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.events.bus import Delivery, Subscription

_POLL_S = 0.01
_TIMEOUT_S = 20.0


async def eventually(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = _TIMEOUT_S) -> None:
    """Wait until the condition holds; AssertionError with its name when it does not in time."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                holds = condition()
                if not isinstance(holds, bool):
                    holds = await holds
                if holds:
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AssertionError(f"never came true within {within_s} s: {condition}") from None


async def take(subscription: Subscription, count: int, *, within_s: float = _TIMEOUT_S) -> list[Delivery]:
    """Receive and acknowledge until `count` deliveries have come; AssertionError when they do not in time."""
    received: list[Delivery] = []
    try:
        async with asyncio.timeout(within_s):
            async for batch in subscription:
                for delivery in batch:
                    received.append(delivery)
                    await subscription.ack(delivery)
                if len(received) >= count:
                    return received
    except TimeoutError:
        raise AssertionError(f"{len(received)} of {count} deliveries came within {within_s} s") from None
    raise AssertionError(f"the subscription ended after {len(received)} of {count} deliveries")
