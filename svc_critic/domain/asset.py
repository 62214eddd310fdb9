"""Assets to evaluate, and what was requested of their producer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class EvaluationContext:
    """What was requested of the producer. `min_width_px` of 0 leaves it to the evaluator."""

    request: str = ""
    expected_labels: tuple[str, ...] = ()
    min_width_px: int = 0


@dataclass(frozen=True)
class EvaluatedAsset:
    """An asset with its bytes. `asset_id` is spelled as the asset store spells it, not as the request does."""

    asset_id: str
    asset_type: str
    media_type: str
    content: bytes


class AssetKind(StrEnum):
    """The kinds of assets that evaluators measure differently."""

    IMAGE = "image"
    DIAGRAM = "diagram"
    SCREENSHOT = "screenshot"
    AUDIO = "audio"
    TEXT = "text"
    DOCUMENT = "document"
    OTHER = "other"


_DRAWN_TYPES = frozenset({"diagram", "chart"})
_DOCUMENT_MEDIA_TYPES = frozenset({"text/html", "application/xhtml+xml", "application/pdf"})
_MARKDOWN_MEDIA_TYPES = frozenset({"text/markdown", "text/x-markdown"})


def asset_kind(asset_type: str, media_type: str) -> AssetKind:
    """Returns the kind of an asset: by its media type, refined by its asset type."""
    media = media_type.partition(";")[0].strip().lower()
    if media.startswith("image/"):
        if asset_type in _DRAWN_TYPES:
            return AssetKind.DIAGRAM
        return AssetKind.SCREENSHOT if asset_type == AssetKind.SCREENSHOT else AssetKind.IMAGE
    if media.startswith("audio/"):
        return AssetKind.AUDIO
    if media in _DOCUMENT_MEDIA_TYPES or (media in _MARKDOWN_MEDIA_TYPES and asset_type != AssetKind.TEXT):
        return AssetKind.DOCUMENT
    if media.startswith("text/"):
        return AssetKind.DOCUMENT if asset_type == AssetKind.DOCUMENT else AssetKind.TEXT
    return AssetKind.OTHER
