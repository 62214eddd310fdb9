"""The platform's ladders, written where there are none."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import yaml

from svc_registry.domain import PLATFORM, Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from mesh.clock import Clock
    from svc_registry.domain import Store


async def seed_ladders(store: Store, clock: Clock) -> None:
    """Writes each seeded ladder whose key has none; what people changed stays."""
    text = resources.files("svc_registry").joinpath("seeds.yaml").read_text()
    for row in yaml.safe_load(text):
        key = LadderKey(Modality(row["modality"]), row["task_type"])
        ladder = Ladder(key, tuple(row["capability_ids"]), PLATFORM, 1, "", clock.now())
        await store.save_ladder(ladder, 0)
