"""Corrects stored capabilities whose `needs_egress` is not set although they send data to other hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from svc_registry.app.catalog import Subscription
from svc_registry.domain import CapabilityKey, with_needs_egress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.history import Change
    from svc_registry.app.ports import Store

SUBJECT = "registry"
"""Subject of the changes that the registry makes by itself."""
_Rules: TypeAlias = frozenset[tuple[str, bool, bool]]
"""Per capability of the platform: its adapter, its `needs_egress`, and whether it has an endpoint."""


async def reconcile_needs_egress(store: Store, catalog: Catalog, clock: Clock) -> None:
    """Sets `needs_egress` where the rules require it: an older release or an older rule may have left it unset.

    A capability that another replica changes at the same time is skipped: that write follows the rules.
    """
    await _correct(store, catalog, clock, catalog.capabilities.all())


async def watch_needs_egress(store: Store, catalog: Catalog, clock: Clock) -> None:
    """Corrects all, then each capability that changes and all of the adapters of changed platform capabilities.

    Its own writes come back as changes that need no correction. When changes were lost, all are corrected again.
    """
    while True:
        subscription = Subscription(catalog, catalog.snapshot().revision)
        rules = _rules(catalog)
        await reconcile_needs_egress(store, catalog, clock)
        while (changes := await subscription.next()) is not None:
            previous, rules = rules, _rules(catalog)
            await _correct(store, catalog, clock, _affected(catalog, changes, previous ^ rules))


async def _correct(store: Store, catalog: Catalog, clock: Clock, keys: Iterable[CapabilityKey]) -> None:
    platform = tuple(catalog.capabilities.platform_capabilities())
    for key in tuple(keys):
        before = catalog.capabilities.get(key)
        if before is None:
            continue
        after = with_needs_egress(before, platform)
        if after != before:
            after = replace(after, version=before.version + 1, updated_at=clock.now())
            await store.save_capability(after, before.version, SUBJECT)
            await catalog.refresh(key)


def _rules(catalog: Catalog) -> _Rules:
    return frozenset(
        (capability.adapter, capability.constraints.needs_egress, bool(capability.endpoint))
        for capability in catalog.capabilities.platform_capabilities()
    )


def _affected(catalog: Catalog, changes: Sequence[Change], changed_rules: _Rules) -> Iterable[CapabilityKey]:
    """Returns the keys of what changed and of what the changed rules apply to, each once."""
    keys = {change.capability.key: None for change in changes if change.capability is not None}
    for adapter in {adapter for adapter, _, _ in changed_rules}:
        keys |= {capability.key: None for capability in catalog.capabilities.list_after(CapabilityKey(""), adapter)}
    return keys
