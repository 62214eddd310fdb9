"""Rules of names, types and limits."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

from mesh.errors import PreconditionViolation, Reason, SomaError, invalid
from svc_assets.domain.model import SUBJECT_MARK, Status

if TYPE_CHECKING:
    from svc_assets.domain.model import Asset, DetectedType, EarlierUpload, Hold, UploadMetadata

MAX_METADATA_BYTES = 16 * 1024
MAX_NAME = 255
OPAQUE = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"})
ACTIVE = frozenset({"image/svg+xml", "text/html", "application/xhtml+xml", "application/xml", "text/xml"})
SAME = {
    "image/jpg": "image/jpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "text/xml": "application/xml",
    "application/x-zip-compressed": "application/zip",
}
CLASSIFICATIONS = ("public", "internal", "sensitive", "confidential")
"""From the least to the most strict."""
ASSET_TYPES = {"image": "image", "audio": "audio", "video": "video", "text": "text"}
ZIP_BASED = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/epub",
)


def clean_name(name: str, fallback: str) -> str:
    """A file name without folders, control characters or surprises, at most 255 characters.

    Leading dots go, so that nothing becomes hidden; an empty rest becomes `fallback`.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(char for char in last if unicodedata.category(char)[0] != "C" and char not in '"<>|:*?')
    return name.strip().lstrip(".")[:MAX_NAME].strip() or fallback


def base_type(media_type: str) -> str:
    """A media type without parameters, in its usual spelling."""
    plain = media_type.split(";", 1)[0].strip().lower()
    return SAME.get(plain, plain)


def resolve_media_type(declared: str, sniffed: DetectedType) -> str:
    """The media type to store: the bytes' own, or the declared one where it is a kind of it.

    UNSUPPORTED_MEDIA_TYPE when the two contradict each other.
    """
    wanted = base_type(declared)
    found = sniffed.media_type
    if wanted in OPAQUE or wanted == found:
        return found
    is_text = found.startswith("text/") or found in {"application/json", "application/xml", "image/svg+xml"}
    textual = wanted.startswith("text/") or wanted.endswith(("json", "xml", "yaml"))
    if found == "text/plain" and textual and wanted not in ACTIVE:
        return wanted
    if is_text and wanted == "text/plain" and found not in ACTIVE:
        return wanted
    if found == "application/zip" and wanted.startswith(ZIP_BASED):
        return wanted
    text = f"the body is declared {wanted} but its bytes are {found}; declare what it is, or nothing"
    raise SomaError(Reason.UNSUPPORTED_MEDIA_TYPE, text)


def type_of(declared: str, media_type: str) -> str:
    """The asset type: the declared one, else what the media type suggests."""
    if declared:
        return declared
    if media_type == "application/pdf":
        return "document"
    return ASSET_TYPES.get(media_type.split("/", 1)[0], "data")


def check_declared(declared: UploadMetadata) -> None:
    """Refuses at once what can be refused before the first byte."""
    if declared.origin.job_id.startswith(SUBJECT_MARK):
        raise invalid("origin.job_id", f"must not begin with {SUBJECT_MARK!r}")
    if len(json.dumps(declared.metadata).encode()) > MAX_METADATA_BYTES:
        raise metadata_too_large()


def metadata_too_large() -> SomaError:
    """The error for metadata of more than `MAX_METADATA_BYTES`."""
    return invalid("metadata", f"must be at most {MAX_METADATA_BYTES} bytes as JSON")


def strictest(*classifications: str) -> str:
    """The most strict of some classifications."""
    return max(classifications, key=CLASSIFICATIONS.index)


def dropped(draft: Asset, stored: Asset, declared: UploadMetadata) -> tuple[str, ...]:
    """The fields that an upload declared and that the asset with its bytes does not have."""
    differs_in = {
        "filename": bool(declared.filename) and draft.filename != stored.filename,
        "media_type": draft.media_type != stored.media_type,
        "asset_type": bool(declared.asset_type) and draft.asset_type != stored.asset_type,
        "classification": draft.classification != stored.classification,
        "parent_id": bool(declared.parent_id) and draft.parent_id != stored.parent_id,
        "replaces_id": bool(declared.replaces_id) and draft.replaces_id != stored.replaces_id,
        "origin": draft.origin != stored.origin,
        "metadata": bool(declared.metadata) and draft.metadata != stored.metadata,
    }
    return tuple(name for name, differs in differs_in.items() if differs)


def repeated(earlier: EarlierUpload, checksum: str, hold: Hold) -> Asset:
    """The answer to an upload whose request id was used before.

    IDEMPOTENCY_MISMATCH when that was for other bytes or another holder, FAILED_PRECONDITION when what it stored was
    erased or given up since.
    """
    if earlier.checksum != checksum or earlier.holder not in ("", hold.holder):
        raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
    asset = earlier.asset
    if asset.status is not Status.READY or not earlier.is_held:
        what = "was erased" if asset.status is not Status.READY else "was deleted by its holder"
        text = f"the asset that this request_id stored {what}; take a new one to store the bytes again"
        violation = PreconditionViolation("TOMBSTONED", asset.asset_id, text)
        raise SomaError(
            Reason.FAILED_PRECONDITION, text, metadata={"asset_id": asset.asset_id}, preconditions=[violation]
        )
    return asset


def is_active(media_type: str) -> bool:
    """True for content that runs script when a browser shows it; it is offered as a download."""
    return media_type in ACTIVE
