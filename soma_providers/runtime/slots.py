"""Slots of providers: how many calls run at once, shared fairly between tenants, without anybody waiting inside."""

from __future__ import annotations

from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from soma_providers.port import Capacity, ProviderBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mesh.clock import Clock

_SHORTEST_S, _LONGEST_S = 0.2, 10.0
_WEIGHT = 0.3
_SWEEP_FROM = 256


class ProviderSlots:
    """Grants `slots` in each pool, `per_tenant` of them to one tenant; over all pools one has `max_total_per_tenant`.

    A tenant that found no slot keeps its turn for a little longer than it was told to wait: meanwhile a free slot is
    not given to a tenant that holds as many or more. Who has all slots that it may have keeps nobody from one. Tenants
    for whom `is_heavy` holds leave the reserved slots of a pool to the others. One instance belongs to one event loop.
    """

    def __init__(
        self,
        slots: int,
        per_tenant: int,
        max_total_per_tenant: int,
        clock: Clock,
        is_heavy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._usual = Capacity(slots, min(per_tenant, slots))
        self._max_total_per_tenant = max_total_per_tenant
        self._clock = clock
        self._is_heavy = is_heavy
        self._pools: dict[str, _Pool] = {}
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        """Returns how many pools are known now."""
        return len(self._pools)

    @contextmanager
    def acquire(
        self, name: str, tenant_id: str, capacity: Capacity | None = None, *, named: str = ""
    ) -> Iterator[None]:
        """Hold a slot in a pool for the enclosed block; raises ProviderBusyError at once when none is free.

        `capacity` is that of the pool where it differs from the usual one; `named` is what the error calls it.
        """
        pool = self._pool(name, capacity or self._usual)
        now = self._clock.monotonic()
        if not pool.take(tenant_id, now):
            wait = pool.queue(tenant_id, now)
            raise ProviderBusyError(f"{named or name} has no free slot now", wait)
        self._held[tenant_id] += 1
        try:
            yield
        finally:
            self._held[tenant_id] -= 1
            if not self._held[tenant_id]:
                del self._held[tenant_id]
            pool.leave(tenant_id, self._clock.monotonic() - now)

    def _pool(self, name: str, capacity: Capacity) -> _Pool:
        pool = self._pools.get(name)
        if pool is None:
            if len(self._pools) >= _SWEEP_FROM:
                self._sweep()
            pool = self._pools[name] = _Pool(capacity, self._is_heavy, self._is_full)
        return pool

    def _is_full(self, tenant_id: str) -> bool:
        return self._held[tenant_id] >= self._max_total_per_tenant

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        self._pools = {name: pool for name, pool in self._pools.items() if pool.in_use(now)}


class _Pool:
    """The slots of one provider. `turns` are the tenants that were told to come back, in the order they asked.

    `is_full` tells which tenants hold as many slots of all pools as they may.
    """

    def __init__(self, capacity: Capacity, is_heavy: Callable[[str], bool], is_full: Callable[[str], bool]) -> None:
        self._slots = capacity.slots
        self._per_tenant = capacity.per_tenant
        self._reserved = min(capacity.reserved, capacity.slots - 1)
        self._is_heavy = is_heavy
        self._is_full = is_full
        self._held: Counter[str] = Counter()
        self._turns: OrderedDict[str, float] = OrderedDict()
        self._usual_s = 1.0

    def in_use(self, now: float) -> bool:
        """Whether somebody holds a slot or is expected back."""
        self._expire(now)
        return bool(self._held or self._turns)

    def take(self, tenant_id: str, now: float) -> bool:
        """Whether the tenant got a slot."""
        self._expire(now)
        if self._before(tenant_id) >= self._free(tenant_id):
            return False
        self._held[tenant_id] += 1
        self._turns.pop(tenant_id, None)
        return True

    def queue(self, tenant_id: str, now: float) -> float:
        """Keep a turn for the tenant, and give the seconds after which to ask again."""
        ahead = self._before(tenant_id) + 1
        wait = min(_LONGEST_S, max(_SHORTEST_S, self._usual_s * ahead / self._slots))
        self._turns[tenant_id] = now + 2 * wait + 1
        return wait

    def leave(self, tenant_id: str, took_s: float) -> None:
        """Give a slot back after it was held for so many seconds."""
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        self._usual_s += _WEIGHT * (took_s - self._usual_s)

    def _free(self, tenant_id: str) -> int:
        """How many slots there are for the tenant now."""
        held = self._held.total()
        if not self._may(tenant_id):
            return 0
        if not self._reserved or self._is_heavy(tenant_id):
            return self._slots - held
        # Whoever became heavy while he held a reserved slot keeps it, and the others get another instead.
        instead = min(self._reserved - (held - self._held_by_heavy()), self._slots + self._reserved - held)
        return max(self._slots - held, instead)

    def _may(self, tenant_id: str) -> bool:
        """Whether the tenant may hold one more slot, when one is free."""
        if self._held[tenant_id] >= self._per_tenant or self._is_full(tenant_id):
            return False
        return not self._is_heavy(tenant_id) or self._held_by_heavy() < self._slots - self._reserved

    def _held_by_heavy(self) -> int:
        return sum(count for holder, count in self._held.items() if self._is_heavy(holder))

    def _before(self, tenant_id: str) -> int:
        """How many tenants that could use a slot come first: they hold fewer, or as many and asked earlier."""
        held = self._held[tenant_id]
        earlier = True
        count = 0
        for other in self._turns:
            if other == tenant_id:
                earlier = False
                continue
            others = self._held[other]
            if self._may(other) and (others < held or (others == held and earlier)):
                count += 1
        return count

    def _expire(self, now: float) -> None:
        for tenant_id in [tenant_id for tenant_id, until in self._turns.items() if until <= now]:
            del self._turns[tenant_id]
