"""Stored capabilities that do not say that they need egress."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_registry.domain import with_egress

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_registry.app.catalog import Catalog
    from svc_registry.domain import Store

SUBJECT = "registry"


async def correct_egress(store: Store, catalog: Catalog, clock: Clock) -> None:
    """Sets `needs_egress` where it is needed: in what an older release registered, and what the platform changed since.

    One that another replica changes meanwhile is left: it follows the rule by then.
    """
    platform = tuple(catalog.capabilities.of_platform())
    for item in tuple(catalog.capabilities.all().values()):
        after = with_egress(item, platform)
        if after != item:
            after = replace(after, version=item.version + 1, updated_at=clock.now())
            await store.save_capability(after, item.version, SUBJECT)
            await catalog.refresh(item.key)
