"""Stored capabilities that do not say that they need egress."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from svc_registry.app.catalog import Subscription
from svc_registry.domain import CapabilityKey, with_egress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.app.history import Change
    from svc_registry.app.ports import Store

SUBJECT = "registry"
_Rules: TypeAlias = frozenset[tuple[str, bool, bool]]
"""What the platform's capabilities say of adapters: adapter, `needs_egress`, and whether there is an endpoint."""


async def correct_egress(store: Store, catalog: Catalog, clock: Clock) -> None:
    """Sets `needs_egress` where it is needed: in what an older release registered, and what the platform changed since.

    One that another replica changes meanwhile is left: it follows the rule by then.
    """
    await _correct(store, catalog, clock, catalog.capabilities.all())


async def follow_egress(store: Store, catalog: Catalog, clock: Clock) -> None:
    """Corrects all, then for ever what changes, and what has the adapter of a platform's capability that changed.

    What it writes comes back as a change that needs no correction. Where changes were lost, all are corrected again.
    """
    while True:
        subscription = Subscription(catalog, catalog.view().revision)
        rules = _rules(catalog)
        await correct_egress(store, catalog, clock)
        while (changes := await subscription.next()) is not None:
            before, rules = rules, _rules(catalog)
            await _correct(store, catalog, clock, _affected(catalog, changes, before ^ rules))


async def _correct(store: Store, catalog: Catalog, clock: Clock, keys: Iterable[CapabilityKey]) -> None:
    platform = tuple(catalog.capabilities.of_platform())
    for key in tuple(keys):
        item = catalog.capabilities.get(key)
        if item is None:
            continue
        after = with_egress(item, platform)
        if after != item:
            after = replace(after, version=item.version + 1, updated_at=clock.now())
            await store.save_capability(after, item.version, SUBJECT)
            await catalog.refresh(key)


def _rules(catalog: Catalog) -> _Rules:
    return frozenset(
        (item.adapter, item.constraints.needs_egress, bool(item.endpoint))
        for item in catalog.capabilities.of_platform()
    )


def _affected(catalog: Catalog, changes: Sequence[Change], changed_rules: _Rules) -> Iterable[CapabilityKey]:
    """What changed, and what is judged by the rules that did, each once."""
    keys = {change.capability.key: None for change in changes if change.capability is not None}
    for adapter in {adapter for adapter, _, _ in changed_rules}:
        keys |= {item.key: None for item in catalog.capabilities.after(CapabilityKey(""), adapter)}
    return keys
