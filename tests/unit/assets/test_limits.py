"""How large an asset may be: by tenant, else by its kind, else one limit for all."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, SomaError
from svc_assets.domain.limits import LimitSource, MediaKind, SizeLimits, media_kind
from svc_assets.settings import AssetSettings

LIMITS = SizeLimits(50, {MediaKind.IMAGE: 20})


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/png", "image"),
        ("audio/wav", "audio"),
        ("video/mp4", "video"),
        ("text/markdown", "text"),
        ("application/json", "text"),
        ("application/xml", "text"),
        ("application/pdf", "document"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document"),
        ("application/zip", "other"),
        ("application/octet-stream", "other"),
        ("", "other"),
    ],
)
def test_media_types_have_a_kind(media_type: str, kind: str) -> None:
    assert media_kind(media_type) == kind


@pytest.mark.parametrize(
    ("kind", "tenant_limits", "max_bytes", "source"),
    [
        (MediaKind.IMAGE, {MediaKind.IMAGE: 90}, 90, LimitSource.TENANT),
        (MediaKind.IMAGE, {MediaKind.IMAGE: 0}, 20, LimitSource.MEDIA_TYPE),
        (MediaKind.AUDIO, {MediaKind.IMAGE: 90}, 50, LimitSource.PLATFORM),
    ],
)
def test_the_nearest_limit_counts(
    kind: MediaKind, tenant_limits: dict[MediaKind, int], max_bytes: int, source: LimitSource
) -> None:
    limit = LIMITS.get(kind, tenant_limits)
    assert (limit.max_bytes, limit.source) == (max_bytes, source)


def test_a_body_of_unknown_kind_may_be_as_large_as_the_largest_kind() -> None:
    assert LIMITS.largest({}).max_bytes == 50
    assert LIMITS.largest({MediaKind.VIDEO: 70}).max_bytes == 70


def test_the_error_names_the_limit_its_source_and_the_size() -> None:
    LIMITS.get(MediaKind.IMAGE, {}).check(20)
    with pytest.raises(SomaError) as refused:
        LIMITS.get(MediaKind.IMAGE, {}).check(21)
    assert refused.value.reason is Reason.PAYLOAD_TOO_LARGE
    told = {"kind": "image", "max_bytes": "20", "limit_source": "media_type", "size_bytes": "21"}
    assert refused.value.metadata == told
    assert "21 bytes" in refused.value.message


def test_settings_limit_all_kinds_and_each_kind() -> None:
    sizes = AssetSettings(max_asset_size_mb=10, max_video_mb=200).sizes
    assert sizes.get(MediaKind.VIDEO, {}).max_bytes == 200 * 1024 * 1024
    assert sizes.get(MediaKind.TEXT, {}).max_bytes == 10 * 1024 * 1024


@pytest.mark.parametrize("grace", ["reconcile_grace_s", "orphan_grace_s"])
def test_an_upload_must_end_before_its_leftovers_are_swept(grace: str) -> None:
    with pytest.raises(ValueError, match="upload_deadline_s must be less"):
        AssetSettings(**{grace: 600.0})
