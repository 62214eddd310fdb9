"""Capabilities and ladders in memory, found by owner: what a tenant looks for never costs what other tenants have."""

from __future__ import annotations

from bisect import bisect_right, insort
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING

from svc_registry.domain import PLATFORM, Capability, CapabilityKey, Ladder, LadderKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class CapabilityIndex:
    """Capabilities that are not deleted, by key, by owner, and by adapter."""

    def __init__(self) -> None:
        self._items: dict[CapabilityKey, Capability] = {}
        self._keys: list[CapabilityKey] = []
        self._ids: dict[str, list[str]] = {}
        self._owners: dict[str, set[str]] = {}
        self._by_adapter: dict[str, list[CapabilityKey]] = {}

    def put(self, item: Capability) -> None:
        """Adds a capability, or replaces it."""
        before = self._items.get(item.key)
        if before is None:
            insort(self._keys, item.key)
            insort(self._ids.setdefault(item.tenant_id, []), item.capability_id)
            self._owners.setdefault(item.capability_id, set()).add(item.tenant_id)
        if before is None or before.adapter != item.adapter:
            if before is not None:
                self._remove_from_adapter(before)
            insort(self._by_adapter.setdefault(item.adapter, []), item.key)
        self._items[item.key] = item

    def remove(self, key: CapabilityKey) -> None:
        """Takes a capability out; nothing happens when it is not there."""
        before = self._items.pop(key, None)
        if before is None:
            return
        self._remove_from_adapter(before)
        del self._keys[bisect_right(self._keys, key) - 1]
        ids = self._ids[key.tenant_id]
        del ids[bisect_right(ids, key.capability_id) - 1]
        if not ids:
            del self._ids[key.tenant_id]
        owners = self._owners[key.capability_id]
        owners.discard(key.tenant_id)
        if not owners:
            del self._owners[key.capability_id]

    def _remove_from_adapter(self, item: Capability) -> None:
        keys = self._by_adapter[item.adapter]
        del keys[bisect_right(keys, item.key) - 1]
        if not keys:
            del self._by_adapter[item.adapter]

    def get(self, key: CapabilityKey) -> Capability | None:
        """Exactly this one."""
        return self._items.get(key)

    def all(self) -> Mapping[CapabilityKey, Capability]:
        """All of all owners."""
        return self._items

    def owners(self, capability_id: str) -> frozenset[str]:
        """Whose capabilities have this id."""
        return frozenset(self._owners.get(capability_id, ()))

    def of_platform(self) -> Iterator[Capability]:
        """The platform's."""
        return (self._items[CapabilityKey(id_)] for id_ in self._ids.get(PLATFORM, ()))

    def resolve(self, tenant_id: str, capability_id: str) -> Capability | None:
        """What a tenant means by an id: the platform's where the tenant may see it, else its own."""
        platform = self._items.get(CapabilityKey(capability_id))
        if platform is not None and platform.visible_to(tenant_id):
            return platform
        return self._items.get(CapabilityKey(capability_id, tenant_id)) if tenant_id else None

    def after(self, token: CapabilityKey, adapter: str = "") -> Iterator[Capability]:
        """Those of all owners behind a key, in the order of keys; of one adapter where it is named."""
        keys = self._by_adapter.get(adapter, []) if adapter else self._keys
        for place in range(bisect_right(keys, token), len(keys)):
            yield self._items[keys[place]]

    def visible_after(self, tenant_id: str, capability_id: str) -> Iterator[Capability]:
        """Those that a tenant may use behind an id, in the order of ids."""
        ids = [self._ids.get(owner, []) for owner in dict.fromkeys((PLATFORM, tenant_id))]
        behind = merge(*(own[bisect_right(own, capability_id) :] for own in ids))
        return (item for id_, _ in groupby(behind) if (item := self.resolve(tenant_id, id_)) is not None)


class LadderIndex:
    """Ladders by owner and key."""

    def __init__(self) -> None:
        self._ladders: dict[str, dict[LadderKey, Ladder]] = {}

    def put(self, ladder: Ladder) -> None:
        """Adds a ladder, or replaces it."""
        self._ladders.setdefault(ladder.tenant_id, {})[ladder.key] = ladder

    def get(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """Exactly this one."""
        return self._ladders.get(tenant_id, {}).get(key)

    def all(self) -> Sequence[Ladder]:
        """All of all owners."""
        return [ladder for own in self._ladders.values() for ladder in own.values()]

    def in_force(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """The tenant's own where it has a list, else the platform's."""
        own = self.get(tenant_id, key) if tenant_id != PLATFORM else None
        return own if own is not None and own.capability_ids else self.get(PLATFORM, key)

    def all_in_force(self, tenant_id: str) -> Sequence[Ladder]:
        """Those in force for a tenant, ordered by key."""
        keys = sorted({*self._ladders.get(PLATFORM, {}), *self._ladders.get(tenant_id, {})})
        found = (self.in_force(tenant_id, key) for key in keys)
        return [ladder for ladder in found if ladder is not None]
