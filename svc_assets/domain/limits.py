"""How large an asset may be: by tenant, else by media type, else one limit for all."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a field of a public class
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.errors import Reason, SomaError

_DOCUMENT_PREFIXES = (
    "application/pdf",
    "application/rtf",
    "application/msword",
    "application/epub",
    "application/x-ole-storage",
    "application/vnd.ms-",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)
_TEXT_SUFFIXES = ("json", "xml", "yaml", "javascript", "x-ndjson")


class MediaKind(StrEnum):
    """Media types that share a limit."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    TEXT = "text"
    OTHER = "other"


class LimitSource(StrEnum):
    """Where a limit is set: for the tenant, for the kind of media, or for all."""

    TENANT = "tenant"
    MEDIA_TYPE = "media_type"
    PLATFORM = "platform"


def media_kind(media_type: str) -> MediaKind:
    """Returns the kind of a media type, which has no parameters."""
    top_level, _, subtype = media_type.partition("/")
    if media_type.startswith(_DOCUMENT_PREFIXES):
        return MediaKind.DOCUMENT
    if top_level in {"image", "audio", "video", "text"}:
        return MediaKind(top_level)
    return MediaKind.TEXT if top_level == "application" and subtype.endswith(_TEXT_SUFFIXES) else MediaKind.OTHER


@dataclass(frozen=True)
class SizeLimit:
    """The largest body of a kind, in bytes, and where that limit is set."""

    kind: MediaKind
    max_bytes: int
    source: LimitSource

    def check(self, size: int) -> None:
        """Raises PAYLOAD_TOO_LARGE when `size`, the bytes received so far, is over the limit."""
        if size <= self.max_bytes:
            return
        limit_name = {
            LimitSource.TENANT: f"this tenant's limit for {self.kind}",
            LimitSource.MEDIA_TYPE: f"the platform's limit for {self.kind}",
            LimitSource.PLATFORM: "the platform's limit for all types",
        }[self.source]
        text = f"the body has at least {size} bytes, more than {limit_name} of {self.max_bytes} bytes"
        details = {"kind": self.kind, "max_bytes": self.max_bytes, "limit_source": self.source, "size_bytes": size}
        raise SomaError(Reason.PAYLOAD_TOO_LARGE, text, metadata={name: str(value) for name, value in details.items()})


@dataclass(frozen=True)
class SizeLimits:
    """The platform's limits in bytes: `by_kind` for the kinds that have their own, `max_bytes` for all others."""

    max_bytes: int
    by_kind: Mapping[MediaKind, int] = field(default_factory=dict)

    def get(self, kind: MediaKind, tenant_limits: Mapping[MediaKind, int]) -> SizeLimit:
        """Returns the limit of a kind for a tenant. A tenant limit of 0 means that the tenant has none."""
        if limit := tenant_limits.get(kind):
            return SizeLimit(kind, limit, LimitSource.TENANT)
        if limit := self.by_kind.get(kind):
            return SizeLimit(kind, limit, LimitSource.MEDIA_TYPE)
        return SizeLimit(kind, self.max_bytes, LimitSource.PLATFORM)

    def largest(self, tenant_limits: Mapping[MediaKind, int]) -> SizeLimit:
        """Returns the limit of a body whose kind is not known yet: the largest of all kinds."""
        return max((self.get(kind, tenant_limits) for kind in MediaKind), key=lambda limit: limit.max_bytes)


@dataclass(frozen=True)
class Permissions:
    """What a tenant may store: size limits in bytes by kind, and the least strict classification of its assets."""

    max_bytes: Mapping[MediaKind, int] = field(default_factory=dict)
    classification_floor: str = "public"
