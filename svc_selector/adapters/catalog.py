"""The registry's capabilities in memory, as last heard."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

from svc_selector.domain.candidate_rules import visible
from svc_selector.domain.model import Ladder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from svc_selector.domain.model import Candidate, CandidateKey

PLATFORM = ""
VERSIONS = 10_000
"""Task types whose changes are told apart; past that all start anew."""
LadderKey = tuple[str, str, str]
"""Owner, modality and task type."""
ALL_TASK_TYPES = ""
"""Stands in a key for all task types of the modality."""


class Catalog:
    """Candidates and ladders by owner, modality and task type; changed only between awaits.

    Of a capability id there may be one of the platform and one of each tenant: where a tenant may see the platform's,
    the id means that one.
    """

    def __init__(self) -> None:
        self._candidates: dict[str, dict[str, Candidate]] = {}
        self._by_ladder_key: dict[LadderKey, dict[str, Candidate]] = {}
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

    def replace_all(self, candidates: Iterable[Candidate], ladders: Mapping[LadderKey, Ladder]) -> None:
        """Takes over a whole snapshot at once."""
        self._candidates, self._by_ladder_key, self._ladders, self._versions = {}, {}, {}, {}
        self.update(candidates, ladders)
        self._replaced = self._changes
        self._loaded.set()

    def update(
        self, candidates: Iterable[Candidate], ladders: Mapping[LadderKey, Ladder], deleted: Iterable[CandidateKey] = ()
    ) -> None:
        """Takes over changes."""
        self._changes += 1
        for key in deleted:
            self._remove(key)
        for candidate in candidates:
            self._remove(candidate.key)
            self._candidates.setdefault(candidate.capability_id, {})[candidate.owner] = candidate
            for ladder_key in _ladder_keys(candidate):
                self._by_ladder_key.setdefault(ladder_key, {})[candidate.capability_id] = candidate
            self._note(candidate)
        for ladder_key, ladder in ladders.items():
            self._set_ladder(ladder_key, ladder)
        if len(self._versions) > VERSIONS:
            self._versions, self._replaced = {}, self._changes

    def _remove(self, key: CandidateKey) -> None:
        owner, capability_id = key
        owned = self._candidates.get(capability_id, {})
        before = owned.get(owner)
        if before is None:
            return
        self._note(before)
        for ladder_key in _ladder_keys(before):
            del self._by_ladder_key[ladder_key][capability_id]
            if not self._by_ladder_key[ladder_key]:
                del self._by_ladder_key[ladder_key]
        del owned[owner]
        if not owned:
            del self._candidates[capability_id]

    def _note(self, candidate: Candidate) -> None:
        """One of the platform changes what is offered to tenants that have one of that id, too."""
        owned = self._candidates[candidate.capability_id].values()
        for changed in owned if candidate.owner == PLATFORM else (candidate,):
            self._versions.update(dict.fromkeys(_ladder_keys(changed), self._changes))

    def _set_ladder(self, ladder_key: LadderKey, ladder: Ladder) -> None:
        """An override without a list was given up."""
        if ladder.capability_ids or ladder_key[0] == PLATFORM:
            self._ladders[ladder_key] = ladder
        else:
            self._ladders.pop(ladder_key, None)
        self._versions[ladder_key] = self._changes

    def version(self, tenant_id: str, modality: str, task_type: str) -> int:
        """Grows with every change of what a tenant is offered for a task type, and of its ladders."""
        owners = (PLATFORM, tenant_id)
        return max(self._replaced, *(self._versions.get((owner, modality, task_type), 0) for owner in owners))

    def of(self, tenant_id: str, modality: str, task_type: str) -> Mapping[str, Candidate]:
        """What a tenant is offered for a task type of a modality, by id; for all of them where it is ""."""
        shared = self._by_ladder_key.get((PLATFORM, modality, task_type), {})
        own = self._by_ladder_key.get((tenant_id, modality, task_type), {})
        found = {id_: candidate for id_, candidate in shared.items() if visible(candidate, tenant_id)}
        return found | {id_: candidate for id_, candidate in own.items() if not self._is_shared(tenant_id, id_)}

    def _is_shared(self, tenant_id: str, capability_id: str) -> bool:
        shared = self._candidates[capability_id].get(PLATFORM)
        return shared is not None and visible(shared, tenant_id)

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """The tenant's own ladder where it has a list, else the platform's."""
        own = self._ladders.get((tenant_id, modality, task_type))
        return own or self._ladders.get((PLATFORM, modality, task_type), Ladder())


def _ladder_keys(candidate: Candidate) -> Iterator[LadderKey]:
    task_types = dict.fromkeys((*candidate.task_types, ALL_TASK_TYPES))
    return product((candidate.owner,), dict.fromkeys(candidate.modalities), task_types)
