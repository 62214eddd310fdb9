"""The registry's capabilities in memory, as last heard."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

from svc_selector.domain.model import Ladder, Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

PLATFORM = ""
LadderKey = tuple[str, str, str]


class Catalog:
    """Offers by modality and ladders by tenant, modality and task type; changed only between awaits."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        self._by_need: dict[tuple[str, str], dict[str, Offer]] = {}
        self._ladders: dict[LadderKey, Ladder] = {}
        self._loaded = asyncio.Event()
        self.stale_since: datetime | None = None
        self._changes = 0
        self._replaced = 0
        self._versions: dict[tuple[str, str], int] = {}

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

    def update(self, offers: Iterable[Offer], ladders: Mapping[LadderKey, Ladder]) -> None:
        """Takes over changes."""
        self._changes += 1
        for offer in offers:
            before = self._offers.get(offer.capability_id)
            for need in _needs(before) if before else ():
                self._by_need[need].pop(offer.capability_id, None)
                self._versions[need] = self._changes
            self._offers[offer.capability_id] = offer
            for need in _needs(offer):
                self._by_need.setdefault(need, {})[offer.capability_id] = offer
                self._versions[need] = self._changes
        self._ladders.update(ladders)
        for _, modality, task_type in ladders:
            self._versions[modality, task_type] = self._changes

    def version(self, modality: str, task_type: str) -> int:
        """Grows with every change of an offer that serves the task type or did, and of its ladders."""
        return max(self._replaced, self._versions.get((modality, task_type), 0))

    def of(self, modality: str, task_type: str) -> Mapping[str, Offer]:
        """Offers that serve a task type of a modality, by id."""
        return self._by_need.get((modality, task_type), {})

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """The tenant's own ladder where it has a list, else the platform's."""
        own = self._ladders.get((tenant_id, modality, task_type))
        if own is not None and own.capability_ids:
            return own
        return self._ladders.get((PLATFORM, modality, task_type), Ladder())


def _needs(offer: Offer) -> Iterator[tuple[str, str]]:
    return product(offer.modalities, offer.task_types)
