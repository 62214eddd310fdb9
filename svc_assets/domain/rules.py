"""Rules of names, types and limits."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

from mesh.errors import PreconditionViolation, Reason, SomaError, invalid
from svc_assets.domain.model import SUBJECT_PREFIX, Status

if TYPE_CHECKING:
    from svc_assets.domain.model import Asset, DetectedType, EarlierUpload, Hold, UploadMetadata

MAX_METADATA_BYTES = 16 * 1024
MAX_FILENAME_LENGTH = 255
GENERIC_MEDIA_TYPES = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded"}
)
ACTIVE_MEDIA_TYPES = frozenset({"image/svg+xml", "text/html", "application/xhtml+xml", "application/xml", "text/xml"})
MEDIA_TYPE_ALIASES = {
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
ZIP_BASED_PREFIXES = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/epub",
)


def clean_filename(name: str, fallback: str) -> str:
    """Returns a file name without folders, control characters and reserved characters, at most 255 characters long.

    Leading dots are removed, so that no file becomes hidden; what is empty then becomes `fallback`.
    """
    base_name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    name = "".join(char for char in base_name if unicodedata.category(char)[0] != "C" and char not in '"<>|:*?')
    return name.strip().lstrip(".")[:MAX_FILENAME_LENGTH].strip() or fallback


def normalize_media_type(media_type: str) -> str:
    """Returns a media type in lower case without parameters, with aliases replaced by the registered name."""
    media_type = media_type.split(";", 1)[0].strip().lower()
    return MEDIA_TYPE_ALIASES.get(media_type, media_type)


def resolve_media_type(declared: str, detected: DetectedType) -> str:
    """Returns the media type to store: the detected one, or the declared one where that is a special case of it.

    UNSUPPORTED_MEDIA_TYPE when the two contradict each other.
    """
    declared_type = normalize_media_type(declared)
    detected_type = detected.media_type
    if declared_type in GENERIC_MEDIA_TYPES or declared_type == detected_type:
        return detected_type
    is_text = detected_type.startswith("text/") or detected_type in {
        "application/json",
        "application/xml",
        "image/svg+xml",
    }
    wants_text = declared_type.startswith("text/") or declared_type.endswith(("json", "xml", "yaml"))
    if detected_type == "text/plain" and wants_text and declared_type not in ACTIVE_MEDIA_TYPES:
        return declared_type
    if is_text and declared_type == "text/plain" and detected_type not in ACTIVE_MEDIA_TYPES:
        return declared_type
    if detected_type == "application/zip" and declared_type.startswith(ZIP_BASED_PREFIXES):
        return declared_type
    text = f"the body is declared {declared_type} but its bytes are {detected_type}; declare what it is, or nothing"
    raise SomaError(Reason.UNSUPPORTED_MEDIA_TYPE, text)


def resolve_asset_type(declared: str, media_type: str) -> str:
    """Returns the asset type: the declared one, else the default of the media type."""
    if declared:
        return declared
    if media_type == "application/pdf":
        return "document"
    return ASSET_TYPES.get(media_type.split("/", 1)[0], "data")


def check_upload_metadata(upload: UploadMetadata) -> None:
    """Raises INVALID_ARGUMENT for what can be rejected before the body is read."""
    if upload.origin.job_id.startswith(SUBJECT_PREFIX):
        raise invalid("origin.job_id", f"must not begin with {SUBJECT_PREFIX!r}")
    if len(json.dumps(upload.metadata).encode()) > MAX_METADATA_BYTES:
        raise metadata_too_large()


def metadata_too_large() -> SomaError:
    """Returns the error for metadata of more than `MAX_METADATA_BYTES`."""
    return invalid("metadata", f"must be at most {MAX_METADATA_BYTES} bytes as JSON")


def strictest(*classifications: str) -> str:
    """Returns the strictest of some classifications."""
    return max(classifications, key=CLASSIFICATIONS.index)


def find_dropped_fields(draft: Asset, stored: Asset, upload: UploadMetadata) -> tuple[str, ...]:
    """Returns the fields that an upload declared and that the stored asset with the same bytes does not have."""
    differs_in = {
        "filename": bool(upload.filename) and draft.filename != stored.filename,
        "media_type": draft.media_type != stored.media_type,
        "asset_type": bool(upload.asset_type) and draft.asset_type != stored.asset_type,
        "classification": draft.classification != stored.classification,
        "parent_id": bool(upload.parent_id) and draft.parent_id != stored.parent_id,
        "replaces_id": bool(upload.replaces_id) and draft.replaces_id != stored.replaces_id,
        "origin": draft.origin != stored.origin,
        "metadata": bool(upload.metadata) and draft.metadata != stored.metadata,
    }
    return tuple(name for name, differs in differs_in.items() if differs)


def answer_repeated_upload(earlier: EarlierUpload, checksum: str, hold: Hold) -> Asset:
    """Returns the answer to an upload whose request id was used before.

    IDEMPOTENCY_MISMATCH when that was for other bytes or another holder, FAILED_PRECONDITION when its asset was
    erased, or its hold released, since then.
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
    """Whether a browser may run scripts in this content when it shows it; such content is served as a download."""
    return media_type in ACTIVE_MEDIA_TYPES
