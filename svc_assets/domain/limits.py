"""How large an asset may be: by tenant, else by media type, else one limit for all."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a field of a public class
from dataclasses import dataclass, field
from enum import StrEnum

from mesh.errors import Reason, SomaError

_DOCUMENTS = (
    "application/pdf",
    "application/rtf",
    "application/msword",
    "application/epub",
    "application/x-ole-storage",
    "application/vnd.ms-",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)
_TEXTS = ("json", "xml", "yaml", "javascript", "x-ndjson")


class MediaKind(StrEnum):
    """Media types that share a limit."""

    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    TEXT = "text"
    OTHER = "other"


class LimitSource(StrEnum):
    """Who set a limit."""

    TENANT = "tenant"
    MEDIA_TYPE = "media_type"
    PLATFORM = "platform"


def kind_of(media_type: str) -> MediaKind:
    """The kind of a media type without parameters."""
    main, _, rest = media_type.partition("/")
    if media_type.startswith(_DOCUMENTS):
        return MediaKind.DOCUMENT
    if main in {"image", "audio", "video", "text"}:
        return MediaKind(main)
    return MediaKind.TEXT if main == "application" and rest.endswith(_TEXTS) else MediaKind.OTHER


@dataclass(frozen=True)
class SizeLimit:
    """The largest body of a kind, in bytes, and who set that."""

    kind: MediaKind
    max_bytes: int
    source: LimitSource

    def check(self, size: int) -> None:
        """PAYLOAD_TOO_LARGE for a body of at least `size` bytes when that is over the limit."""
        if size <= self.max_bytes:
            return
        whose = {
            LimitSource.TENANT: f"this tenant's limit for {self.kind}",
            LimitSource.MEDIA_TYPE: f"the platform's limit for {self.kind}",
            LimitSource.PLATFORM: "the platform's limit for all types",
        }[self.source]
        text = f"the body has at least {size} bytes, more than {whose} of {self.max_bytes} bytes"
        details = {"kind": self.kind, "max_bytes": self.max_bytes, "limit_source": self.source, "size_bytes": size}
        raise SomaError(Reason.PAYLOAD_TOO_LARGE, text, metadata={name: str(value) for name, value in details.items()})


@dataclass(frozen=True)
class SizeLimits:
    """The platform's limits in bytes: one for all, and those of kinds that have their own."""

    max_bytes: int
    of_kinds: Mapping[MediaKind, int] = field(default_factory=dict)

    def of(self, kind: MediaKind, of_tenant: Mapping[MediaKind, int]) -> SizeLimit:
        """The limit of a kind for a tenant; one of 0 is none."""
        if limit := of_tenant.get(kind):
            return SizeLimit(kind, limit, LimitSource.TENANT)
        if limit := self.of_kinds.get(kind):
            return SizeLimit(kind, limit, LimitSource.MEDIA_TYPE)
        return SizeLimit(kind, self.max_bytes, LimitSource.PLATFORM)

    def largest(self, of_tenant: Mapping[MediaKind, int]) -> SizeLimit:
        """The limit of a body whose kind is not known yet."""
        return max((self.of(kind, of_tenant) for kind in MediaKind), key=lambda limit: limit.max_bytes)


@dataclass(frozen=True)
class Permissions:
    """What a tenant may store: largest bodies by kind, and the lowest classification that its data is treated as."""

    max_bytes: Mapping[MediaKind, int] = field(default_factory=dict)
    classification_floor: str = "public"
