"""The registry's capabilities in memory, as last heard."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

from svc_selector.domain.judge import visible
from svc_selector.domain.model import Ladder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from svc_selector.domain.model import Offer, OfferKey

PLATFORM = ""
VERSIONS = 10_000
"""Needs whose changes are told apart; past that all start anew."""
LadderKey = tuple[str, str, str]
"""Owner, modality and task type."""


class Catalog:
    """Offers and ladders by owner, modality and task type; changed only between awaits.

    Of a capability id there may be one of the platform and one of each tenant: where a tenant may see the platform's,
    the id means that one.
    """

    def __init__(self) -> None:
        self._offers: dict[str, dict[str, Offer]] = {}
        self._by_need: dict[LadderKey, dict[str, Offer]] = {}
        self._ladders: dict[LadderKey, Ladder] = {}
        self._loaded = asyncio.Event()
        self.stale_since: datetime | None = None
        self._changes = 0
        self._replaced = 0
        self._versions: dict[LadderKey, int] = {}

    @property
    def loaded(self) -> bool:
        """True once a whole snapshot was taken over."""
        return self._loaded.is_set()

    async def wait_loaded(self, seconds: float) -> bool:
        """Waits for the first snapshot; False when it did not come in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._loaded.wait()
        except TimeoutError:
            return False
        return True

    def replace_all(self, offers: Iterable[Offer], ladders: Mapping[LadderKey, Ladder]) -> None:
        """Takes over a whole snapshot at once."""
        self._offers, self._by_need, self._ladders, self._versions = {}, {}, {}, {}
        self.update(offers, ladders)
        self._replaced = self._changes
        self._loaded.set()

    def update(
        self, offers: Iterable[Offer], ladders: Mapping[LadderKey, Ladder], deleted: Iterable[OfferKey] = ()
    ) -> None:
        """Takes over changes."""
        self._changes += 1
        for key in deleted:
            self._remove(key)
        for offer in offers:
            self._remove(offer.key)
            self._offers.setdefault(offer.capability_id, {})[offer.owner] = offer
            for need in _needs(offer):
                self._by_need.setdefault(need, {})[offer.capability_id] = offer
            self._note(offer)
        for need, ladder in ladders.items():
            self._set_ladder(need, ladder)
        if len(self._versions) > VERSIONS:
            self._versions, self._replaced = {}, self._changes

    def _remove(self, key: OfferKey) -> None:
        owner, capability_id = key
        owned = self._offers.get(capability_id, {})
        before = owned.get(owner)
        if before is None:
            return
        self._note(before)
        for need in _needs(before):
            del self._by_need[need][capability_id]
            if not self._by_need[need]:
                del self._by_need[need]
        del owned[owner]
        if not owned:
            del self._offers[capability_id]

    def _note(self, offer: Offer) -> None:
        """One of the platform changes what is offered to tenants that have one of that id, too."""
        owned = self._offers[offer.capability_id].values()
        for changed in owned if offer.owner == PLATFORM else (offer,):
            self._versions.update(dict.fromkeys(_needs(changed), self._changes))

    def _set_ladder(self, need: LadderKey, ladder: Ladder) -> None:
        """An override without a list was given up."""
        if ladder.capability_ids or need[0] == PLATFORM:
            self._ladders[need] = ladder
        else:
            self._ladders.pop(need, None)
        self._versions[need] = self._changes

    def version(self, tenant_id: str, modality: str, task_type: str) -> int:
        """Grows with every change of what a tenant is offered for a task type, and of its ladders."""
        owners = (PLATFORM, tenant_id)
        return max(self._replaced, *(self._versions.get((owner, modality, task_type), 0) for owner in owners))

    def of(self, tenant_id: str, modality: str, task_type: str) -> Mapping[str, Offer]:
        """What a tenant is offered for a task type of a modality, by id."""
        shared = self._by_need.get((PLATFORM, modality, task_type), {})
        own = self._by_need.get((tenant_id, modality, task_type), {})
        found = {id_: offer for id_, offer in shared.items() if visible(offer, tenant_id)}
        return found | {id_: offer for id_, offer in own.items() if not self._is_shared(tenant_id, id_)}

    def _is_shared(self, tenant_id: str, capability_id: str) -> bool:
        shared = self._offers[capability_id].get(PLATFORM)
        return shared is not None and visible(shared, tenant_id)

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """The tenant's own ladder where it has a list, else the platform's."""
        own = self._ladders.get((tenant_id, modality, task_type))
        return own or self._ladders.get((PLATFORM, modality, task_type), Ladder())


def _needs(offer: Offer) -> Iterator[LadderKey]:
    return product((offer.owner,), offer.modalities, offer.task_types)
