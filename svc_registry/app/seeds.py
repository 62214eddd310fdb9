"""The default ladders of the platform."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import yaml

from svc_registry.domain import PLATFORM, Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_registry.app.ports import Store


async def seed_ladders(store: Store, clock: Clock) -> None:
    """Writes each default ladder unless a ladder of its key was changed through the API."""
    text = resources.files("svc_registry").joinpath("seeds.yaml").read_text()
    for row in yaml.safe_load(text):
        key = LadderKey(Modality(row["modality"]), row["task_type"])
        ids = tuple(row["capability_ids"])
        before = await store.get_ladder(PLATFORM, key)
        version = before.version if before else 0
        if before is None or (not before.updated_by and before.capability_ids != ids):
            await store.save_ladder(Ladder(key, ids, PLATFORM, version + 1, "", clock.now()), version)
