"""Measured heuristics: they need no model, and say by their names that they are heuristics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.bench import Bench
from svc_critic.adapters.heuristics.documents import DocumentHeuristics
from svc_critic.adapters.heuristics.picture import PictureHeuristics
from svc_critic.adapters.heuristics.reading import Reader
from svc_critic.adapters.heuristics.sound import SoundHeuristics
from svc_critic.adapters.heuristics.writing import TextHeuristics
from svc_critic.domain.specimen import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_critic.domain.ports import Evaluator

__all__ = [
    "Bench",
    "DocumentHeuristics",
    "PictureHeuristics",
    "Reader",
    "SoundHeuristics",
    "TextHeuristics",
    "heuristics",
]


def heuristics(bench: Bench, reader: Reader) -> Sequence[Evaluator]:
    """One evaluator for each kind that can be judged by measuring."""
    pictures = [PictureHeuristics(kind, bench, reader) for kind in (Kind.IMAGE, Kind.DIAGRAM, Kind.SCREENSHOT)]
    return [*pictures, SoundHeuristics(bench), TextHeuristics(bench), DocumentHeuristics(bench)]
