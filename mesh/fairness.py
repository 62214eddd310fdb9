"""Slots that tenants share fairly: whoever asks much waits behind his own requests, not before those of others."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_RETRY_AFTER_S = 2.0
_CHECK_EVERY_S = 0.25


class FairSlots:
    """A bounded number of slots. Waiting tenants get free ones in turn, each tenant's requests in their order.

    At most `per_tenant` slots are held for one tenant at once. At most `waiting_per_tenant` of its requests wait, and
    `waiting` of all tenants together; one more is OVERLOADED. Tenants for whom `is_low_priority` holds leave `reserved`
    slots to the others. A tenant that comes to have low priority while it holds such a slot keeps it, and the others
    get another in its place, so that up to `reserved` more than `slots` are held. One instance belongs to one event
    loop.
    """

    def __init__(
        self,
        name: str,
        slots: int,
        *,
        per_tenant: int,
        waiting_per_tenant: int = 64,
        waiting: int = 1_024,
        reserved: int = 0,
        is_low_priority: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._name = name
        self._slots = slots
        self._reserved = min(reserved, slots - 1)
        self._is_low_priority = is_low_priority
        self._per_tenant = min(per_tenant, slots)
        self._waiting_per_tenant = waiting_per_tenant
        self._max_waiting = waiting
        self._in_use: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return self._waiting

    @property
    def in_use(self) -> int:
        """How many slots are held now."""
        return self._in_use.total()

    @asynccontextmanager
    async def slot(self, tenant_id: str, within_s: float | None = None) -> AsyncIterator[None]:
        """Hold a slot for the enclosed block, after waiting for it as `acquire` does."""
        await self.acquire(tenant_id, within_s)
        try:
            yield
        finally:
            self.release(tenant_id)

    def try_acquire(self, tenant_id: str) -> bool:
        """Take a slot if one is free for this tenant now; whoever gets True calls `release` later."""
        if not self._may_acquire(tenant_id):
            return False
        self._take(tenant_id)
        return True

    def release(self, tenant_id: str) -> None:
        """Give back a slot that `try_acquire` or `acquire` granted."""
        self._give(tenant_id)
        self._grant_waiting()

    async def acquire(self, tenant_id: str, within_s: float | None = None) -> None:
        """Wait for a slot, at most `within_s` seconds; 0 does not wait. Whoever gets one calls `release` later.

        Raises SomaError(OVERLOADED) when too many wait, and when none got free in time.
        """
        if self.try_acquire(tenant_id):
            return
        queue = self._queues.get(tenant_id, deque())
        if len(queue) >= self._waiting_per_tenant or self._waiting >= self._max_waiting or within_s == 0:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._queues[tenant_id] = queue
        self._waiting += 1
        self._schedule_check()
        try:
            async with asyncio.timeout(within_s):
                await self._granted(tenant_id, turn)
        except TimeoutError:
            raise self._refusal() from None

    def _refusal(self) -> SomaError:
        return SomaError(
            Reason.OVERLOADED,
            f"Too many requests wait for {self._name}; try again shortly",
            metadata={"component": self._name},
            retry_after_s=_RETRY_AFTER_S,
        )

    async def _granted(self, tenant_id: str, turn: asyncio.Future[None]) -> None:
        """Wait for the turn; a request that goes away leaves the queue, or gives back what it was granted just then."""
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(tenant_id)
            else:
                self._leave_queue(tenant_id, turn)
            raise

    def _may_acquire(self, tenant_id: str) -> bool:
        """Whether the tenant may hold one more slot now."""
        if self._in_use[tenant_id] >= self._per_tenant:
            return False
        in_use = self._in_use.total()
        if in_use < self._slots - self._reserved:
            return True
        if not self._reserved:
            return False
        low_priority = sum(count for tenant, count in self._in_use.items() if self._is_low_priority(tenant))
        if self._is_low_priority(tenant_id):
            return in_use < self._slots and low_priority < self._slots - self._reserved
        return in_use < self._slots or (
            in_use - low_priority < self._reserved and in_use < self._slots + self._reserved
        )

    def _take(self, tenant_id: str) -> None:
        self._in_use[tenant_id] += 1

    def _give(self, tenant_id: str) -> None:
        self._in_use[tenant_id] -= 1
        if not self._in_use[tenant_id]:
            del self._in_use[tenant_id]

    def _schedule_check(self) -> None:
        """While requests wait, look now and then whose use has become heavy, or has no longer been."""
        if self._reserved and self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_EVERY_S, self._check_waiting)

    def _check_waiting(self) -> None:
        self._timer = None
        self._grant_waiting()
        self._schedule_check()

    def _grant_waiting(self) -> None:
        while (tenant := self._next()) is not None:
            self._take(tenant)
            queue = self._queues[tenant]
            turn = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues.move_to_end(tenant)
            else:
                del self._queues[tenant]
            if turn.cancelled():  # its request leaves in a moment
                self._give(tenant)
            else:
                turn.set_result(None)

    def _next(self) -> str | None:
        """The tenant whose turn it is: the one that has waited longest since it was last served."""
        return next((tenant for tenant in self._queues if self._may_acquire(tenant)), None)

    def _leave_queue(self, tenant_id: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(tenant_id)
        if queue is None or turn not in queue:  # passed over when a slot got free
            return
        queue.remove(turn)
        self._waiting -= 1
        if not queue:
            del self._queues[tenant_id]
