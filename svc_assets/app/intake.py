"""Admits uploads: so many at once, shared fairly between tenants, each within a deadline and with progress."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mesh.errors import Reason, SomaError
from mesh.fairness import FairSlots

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

T = TypeVar("T")


@dataclass(frozen=True)
class IntakeLimits:
    """At most `slots` uploads at once, `per_tenant` of them for one tenant; `waiting_per_tenant` more of it wait.

    An upload takes at most `deadline_s` seconds. Whoever sends it may keep the service waiting for at most `window_s`
    seconds for each `window_bytes` bytes.
    """

    slots: int = 64
    per_tenant: int = 16
    waiting_per_tenant: int = 64
    deadline_s: float = 600.0
    window_s: float = 60.0
    window_bytes: int = 64 * 1024


class Intake:
    """The uploads that are taken in at once."""

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self._slots = FairSlots(
            "uploads", limits.slots, per_tenant=limits.per_tenant, waiting_per_tenant=limits.waiting_per_tenant
        )

    @property
    def held(self) -> int:
        """Uploads that are taken in now."""
        return self._slots.held

    @property
    def waiting(self) -> int:
        """Uploads that wait for a slot."""
        return self._slots.waiting

    @asynccontextmanager
    async def admit(self, tenant_id: str) -> AsyncIterator[None]:
        """Holds a slot for the enclosed block; OVERLOADED when too many of the tenant wait, DEADLINE_EXCEEDED late."""
        limit = asyncio.timeout(self._limits.deadline_s)
        try:
            async with limit, self._slots.slot(tenant_id):
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            text = f"the upload took more than {self._limits.deadline_s:g} seconds; it stored nothing"
            raise SomaError(Reason.DEADLINE_EXCEEDED, text) from None

    async def paced(self, messages: AsyncIterable[T], size: Callable[[T], int]) -> AsyncIterator[T]:
        """The messages; DEADLINE_EXCEEDED when they come too slowly. Time that the service takes does not count."""
        loop, source = asyncio.get_running_loop(), aiter(messages)
        left, received = self._limits.window_s, 0
        while True:
            since = loop.time()
            try:
                async with asyncio.timeout(left):
                    message = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise self._too_slow() from None
            left -= loop.time() - since
            received += size(message)
            if received >= self._limits.window_bytes:
                left, received = self._limits.window_s, 0
            yield message

    def _too_slow(self) -> SomaError:
        pace = f"{self._limits.window_bytes} bytes in {self._limits.window_s:g} seconds"
        return SomaError(Reason.DEADLINE_EXCEEDED, f"the upload comes more slowly than {pace}; it stored nothing")
