"""Evaluators by heuristics, which need no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.audio import AudioHeuristics
from svc_critic.adapters.heuristics.documents import DocumentHeuristics
from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
from svc_critic.adapters.heuristics.picture import PictureHeuristics
from svc_critic.adapters.heuristics.text import TextHeuristics
from svc_critic.domain.asset import AssetKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.processes import ProcessPool
    from svc_critic.app.ports import Evaluator

__all__ = [
    "AudioHeuristics",
    "DocumentHeuristics",
    "MeasurementPool",
    "PictureHeuristics",
    "TextHeuristics",
    "heuristics",
]


def heuristics(pool: ProcessPool, threads: int) -> Sequence[Evaluator]:
    """Returns one evaluator for each kind that can be measured; `threads` recognize the text of a picture."""
    measurement_pool = MeasurementPool(pool)
    pictures = [
        PictureHeuristics(kind, measurement_pool, threads)
        for kind in (AssetKind.IMAGE, AssetKind.DIAGRAM, AssetKind.SCREENSHOT)
    ]
    return [
        *pictures,
        AudioHeuristics(measurement_pool),
        TextHeuristics(measurement_pool),
        DocumentHeuristics(measurement_pool),
    ]
