"""Measured heuristics: they need no model, and say by their names that they are heuristics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.documents import DocumentHeuristics
from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
from svc_critic.adapters.heuristics.picture import PictureHeuristics
from svc_critic.adapters.heuristics.sound import SoundHeuristics
from svc_critic.adapters.heuristics.writing import TextHeuristics
from svc_critic.domain.asset import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.processes import ProcessPool
    from svc_critic.app.ports import Evaluator

__all__ = [
    "DocumentHeuristics",
    "MeasurementPool",
    "PictureHeuristics",
    "SoundHeuristics",
    "TextHeuristics",
    "heuristics",
]


def heuristics(pool: ProcessPool, threads: int) -> Sequence[Evaluator]:
    """One evaluator for each kind that can be measured; `threads` read the text of a picture."""
    measurement_pool = MeasurementPool(pool)
    pictures = [
        PictureHeuristics(kind, measurement_pool, threads) for kind in (Kind.IMAGE, Kind.DIAGRAM, Kind.SCREENSHOT)
    ]
    return [
        *pictures,
        SoundHeuristics(measurement_pool),
        TextHeuristics(measurement_pool),
        DocumentHeuristics(measurement_pool),
    ]
