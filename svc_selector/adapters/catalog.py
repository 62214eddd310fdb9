"""The registry's capabilities in memory, as last received."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING

from svc_selector.domain.candidate_rules import is_visible
from svc_selector.domain.model import Ladder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from svc_selector.domain.model import Candidate, CandidateKey

PLATFORM = ""
"""Owner of the capabilities and ladders that belong to no tenant."""
MAX_VERSIONS = 10_000
"""Most task types with a version of their own; beyond that all get a new common version."""
LadderKey = tuple[str, str, str]
"""Owner, modality and task type."""
ALL_TASK_TYPES = ""
"""Task type in the key of all candidates of a modality."""


class Catalog:
    """Candidates and ladders by owner, modality and task type; no method awaits while it changes them.

    The platform and each tenant may have a capability with the same id: the platform's hides the tenant's where the
    tenant may see it.
    """

    def __init__(self) -> None:
        self._candidates: dict[str, dict[str, Candidate]] = {}
        self._by_ladder_key: dict[LadderKey, dict[str, Candidate]] = {}
        self._ladders: dict[LadderKey, Ladder] = {}
        self._loaded = asyncio.Event()
        self.stale_since: datetime | None = None
        self._change_count = 0
        self._min_version = 0
        self._versions: dict[LadderKey, int] = {}

    @property
    def loaded(self) -> bool:
        """Whether a complete snapshot was applied."""
        return self._loaded.is_set()

    async def wait_loaded(self, seconds: float) -> bool:
        """Waits for the first snapshot; returns False when it did not arrive in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._loaded.wait()
        except TimeoutError:
            return False
        return True

    def replace_all(self, candidates: Iterable[Candidate], ladders: Mapping[LadderKey, Ladder]) -> None:
        """Replaces everything with a snapshot."""
        self._candidates, self._by_ladder_key, self._ladders, self._versions = {}, {}, {}, {}
        self.update(candidates, ladders)
        self._min_version = self._change_count
        self._loaded.set()

    def update(
        self, candidates: Iterable[Candidate], ladders: Mapping[LadderKey, Ladder], deleted: Iterable[CandidateKey] = ()
    ) -> None:
        """Applies changes."""
        self._change_count += 1
        for key in deleted:
            self._remove(key)
        for candidate in candidates:
            self._remove(candidate.key)
            self._candidates.setdefault(candidate.capability_id, {})[candidate.owner] = candidate
            for ladder_key in _ladder_keys(candidate):
                self._by_ladder_key.setdefault(ladder_key, {})[candidate.capability_id] = candidate
            self._bump_versions(candidate)
        for ladder_key, ladder in ladders.items():
            self._set_ladder(ladder_key, ladder)
        if len(self._versions) > MAX_VERSIONS:
            self._versions, self._min_version = {}, self._change_count

    def _remove(self, key: CandidateKey) -> None:
        owner, capability_id = key
        owned = self._candidates.get(capability_id, {})
        previous = owned.get(owner)
        if previous is None:
            return
        self._bump_versions(previous)
        for ladder_key in _ladder_keys(previous):
            del self._by_ladder_key[ladder_key][capability_id]
            if not self._by_ladder_key[ladder_key]:
                del self._by_ladder_key[ladder_key]
        del owned[owner]
        if not owned:
            del self._candidates[capability_id]

    def _bump_versions(self, candidate: Candidate) -> None:
        """Marks the task types of a candidate as changed; the platform's affects tenants with the same id, too."""
        owned = self._candidates[candidate.capability_id].values()
        for changed in owned if candidate.owner == PLATFORM else (candidate,):
            self._versions.update(dict.fromkeys(_ladder_keys(changed), self._change_count))

    def _set_ladder(self, ladder_key: LadderKey, ladder: Ladder) -> None:
        """Sets a ladder; a tenant's without capabilities removes its override."""
        if ladder.capability_ids or ladder_key[0] == PLATFORM:
            self._ladders[ladder_key] = ladder
        else:
            self._ladders.pop(ladder_key, None)
        self._versions[ladder_key] = self._change_count

    def version(self, tenant_id: str, modality: str, task_type: str) -> int:
        """Returns a number that grows with each change of a tenant's candidates for a task type, and of its ladders."""
        owners = (PLATFORM, tenant_id)
        return max(self._min_version, *(self._versions.get((owner, modality, task_type), 0) for owner in owners))

    def for_task(self, tenant_id: str, modality: str, task_type: str) -> Mapping[str, Candidate]:
        """Returns a tenant's candidates for a task type of a modality, by capability id; for all task types if ""."""
        shared = self._by_ladder_key.get((PLATFORM, modality, task_type), {})
        own = self._by_ladder_key.get((tenant_id, modality, task_type), {})
        visible = {id_: candidate for id_, candidate in shared.items() if is_visible(candidate, tenant_id)}
        return visible | {id_: candidate for id_, candidate in own.items() if not self._is_shared(tenant_id, id_)}

    def _is_shared(self, tenant_id: str, capability_id: str) -> bool:
        shared = self._candidates[capability_id].get(PLATFORM)
        return shared is not None and is_visible(shared, tenant_id)

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """Returns the tenant's own ladder, else the platform's."""
        own = self._ladders.get((tenant_id, modality, task_type))
        return own or self._ladders.get((PLATFORM, modality, task_type), Ladder())


def _ladder_keys(candidate: Candidate) -> Iterator[LadderKey]:
    task_types = dict.fromkeys((*candidate.task_types, ALL_TASK_TYPES))
    return product((candidate.owner,), dict.fromkeys(candidate.modalities), task_types)
