"""Indexes of capabilities and ladders by owner: a lookup for one tenant reads none of the other tenants' entries."""

from __future__ import annotations

from bisect import bisect_right, insort
from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING

from svc_registry.domain import PLATFORM, Capability, CapabilityKey, Ladder, LadderKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class CapabilityIndex:
    """The capabilities that are not deleted, indexed by key, owner and adapter."""

    def __init__(self) -> None:
        self._capabilities: dict[CapabilityKey, Capability] = {}
        self._keys: list[CapabilityKey] = []
        self._ids_by_owner: dict[str, list[str]] = {}
        self._owners_by_id: dict[str, set[str]] = {}
        self._keys_by_adapter: dict[str, list[CapabilityKey]] = {}

    def put(self, capability: Capability) -> None:
        """Adds a capability, or replaces it."""
        before = self._capabilities.get(capability.key)
        if before is None:
            insort(self._keys, capability.key)
            insort(self._ids_by_owner.setdefault(capability.tenant_id, []), capability.capability_id)
            self._owners_by_id.setdefault(capability.capability_id, set()).add(capability.tenant_id)
        if before is None or before.adapter != capability.adapter:
            if before is not None:
                self._remove_from_adapter(before)
            insort(self._keys_by_adapter.setdefault(capability.adapter, []), capability.key)
        self._capabilities[capability.key] = capability

    def remove(self, key: CapabilityKey) -> None:
        """Removes a capability; does nothing when there is none of this key."""
        before = self._capabilities.pop(key, None)
        if before is None:
            return
        self._remove_from_adapter(before)
        del self._keys[bisect_right(self._keys, key) - 1]
        ids = self._ids_by_owner[key.tenant_id]
        del ids[bisect_right(ids, key.capability_id) - 1]
        if not ids:
            del self._ids_by_owner[key.tenant_id]
        owners = self._owners_by_id[key.capability_id]
        owners.discard(key.tenant_id)
        if not owners:
            del self._owners_by_id[key.capability_id]

    def _remove_from_adapter(self, capability: Capability) -> None:
        keys = self._keys_by_adapter[capability.adapter]
        del keys[bisect_right(keys, capability.key) - 1]
        if not keys:
            del self._keys_by_adapter[capability.adapter]

    def get(self, key: CapabilityKey) -> Capability | None:
        """Returns the capability of this key, not one of the same id of another owner."""
        return self._capabilities.get(key)

    def all(self) -> Mapping[CapabilityKey, Capability]:
        """Returns the capabilities of all owners."""
        return self._capabilities

    def owners(self, capability_id: str) -> frozenset[str]:
        """Returns the owners of the capabilities that have this id."""
        return frozenset(self._owners_by_id.get(capability_id, ()))

    def platform_capabilities(self) -> Iterator[Capability]:
        """Returns the capabilities of the platform."""
        return (self._capabilities[CapabilityKey(id_)] for id_ in self._ids_by_owner.get(PLATFORM, ()))

    def resolve(self, tenant_id: str, capability_id: str) -> Capability | None:
        """Returns what an id names for a tenant: the platform's capability where it is visible to it, else its own."""
        platform = self._capabilities.get(CapabilityKey(capability_id))
        if platform is not None and platform.visible_to(tenant_id):
            return platform
        return self._capabilities.get(CapabilityKey(capability_id, tenant_id)) if tenant_id else None

    def list_after(self, key: CapabilityKey, adapter: str = "") -> Iterator[Capability]:
        """Returns those of all owners after a key, ordered by key; only those of an adapter where it is set."""
        keys = self._keys_by_adapter.get(adapter, []) if adapter else self._keys
        for position in range(bisect_right(keys, key), len(keys)):
            yield self._capabilities[keys[position]]

    def list_visible_after(self, tenant_id: str, capability_id: str) -> Iterator[Capability]:
        """Returns those that are visible to a tenant after an id, ordered by id."""
        ids_of_owners = [self._ids_by_owner.get(owner, []) for owner in dict.fromkeys((PLATFORM, tenant_id))]
        later_ids = merge(*(own[bisect_right(own, capability_id) :] for own in ids_of_owners))
        return (capability for id_, _ in groupby(later_ids) if (capability := self.resolve(tenant_id, id_)) is not None)


class LadderIndex:
    """The ladders, indexed by owner and key."""

    def __init__(self) -> None:
        self._ladders: dict[str, dict[LadderKey, Ladder]] = {}

    def put(self, ladder: Ladder) -> None:
        """Adds a ladder, or replaces it."""
        self._ladders.setdefault(ladder.tenant_id, {})[ladder.key] = ladder

    def get(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """Returns the ladder of exactly this owner."""
        return self._ladders.get(tenant_id, {}).get(key)

    def all(self) -> Sequence[Ladder]:
        """Returns the ladders of all owners."""
        return [ladder for own in self._ladders.values() for ladder in own.values()]

    def get_effective(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """Returns the tenant's own ladder where it is not empty, else the platform's."""
        own = self.get(tenant_id, key) if tenant_id != PLATFORM else None
        return own if own is not None and own.capability_ids else self.get(PLATFORM, key)

    def list_effective(self, tenant_id: str) -> Sequence[Ladder]:
        """Returns the effective ladders of a tenant, ordered by key."""
        keys = sorted({*self._ladders.get(PLATFORM, {}), *self._ladders.get(tenant_id, {})})
        found = (self.get_effective(tenant_id, key) for key in keys)
        return [ladder for ladder in found if ladder is not None]
