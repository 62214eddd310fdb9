"""What is judged, and what it is judged against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class EvaluationContext:
    """What was asked of the producer. `min_width_px` of 0 leaves it to the evaluator."""

    request: str = ""
    expected_labels: tuple[str, ...] = ()
    min_width_px: int = 0


@dataclass(frozen=True)
class EvaluatedAsset:
    """An asset with its bytes; `asset_id` as the asset store writes it, whatever the spelling of a request."""

    asset_id: str
    asset_type: str
    media_type: str
    content: bytes


class Kind(StrEnum):
    """What an asset is to be looked at as."""

    IMAGE = "image"
    DIAGRAM = "diagram"
    SCREENSHOT = "screenshot"
    AUDIO = "audio"
    TEXT = "text"
    DOCUMENT = "document"
    OTHER = "other"


_DRAWN = frozenset({"diagram", "chart"})
_DOCUMENTS = frozenset({"text/html", "application/xhtml+xml", "application/pdf"})
_MARKDOWN = frozenset({"text/markdown", "text/x-markdown"})


def kind_of(asset_type: str, media_type: str) -> Kind:
    """The kind of an asset: the bytes say what can be looked at, the asset type what to look for."""
    media = media_type.partition(";")[0].strip().lower()
    if media.startswith("image/"):
        if asset_type in _DRAWN:
            return Kind.DIAGRAM
        return Kind.SCREENSHOT if asset_type == Kind.SCREENSHOT else Kind.IMAGE
    if media.startswith("audio/"):
        return Kind.AUDIO
    if media in _DOCUMENTS or (media in _MARKDOWN and asset_type != Kind.TEXT):
        return Kind.DOCUMENT
    if media.startswith("text/"):
        return Kind.DOCUMENT if asset_type == Kind.DOCUMENT else Kind.TEXT
    return Kind.OTHER
