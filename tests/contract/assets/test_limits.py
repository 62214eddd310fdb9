"""Limits of a tenant and of a media type, as uploads meet them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import Reason, SomaError
from svc_assets.domain.limits import MediaKind, Permissions
from tests.contract.assets.store import LARGE, Store

SMALL_TEXT = Permissions({MediaKind.TEXT: 1_000}, "sensitive")


@pytest.mark.parametrize("declared", [{"media_type": "text/plain"}, {}, {"size_bytes": len(LARGE)}])
async def test_a_tenant_has_its_own_limit_for_a_media_type(memory: Store, declared: dict[str, object]) -> None:
    limited = replace(memory, permissions=SMALL_TEXT)
    with pytest.raises(SomaError) as refused:
        await limited.put(LARGE, **declared)  # type: ignore[arg-type]
    assert refused.value.reason is Reason.PAYLOAD_TOO_LARGE
    assert refused.value.metadata["limit_source"] == "tenant"
    assert await limited.left_behind() == (set(), [])
    assert (await limited.put(b"RIFF\xff\xff\xff\xffWAVE" + LARGE)).media_type == "audio/wav"


async def test_a_declared_size_over_the_limit_is_refused_before_a_byte_is_read(memory: Store) -> None:
    with pytest.raises(SomaError) as refused:
        await memory.put(b"", size_bytes=10_000_000)
    assert refused.value.reason is Reason.PAYLOAD_TOO_LARGE


async def test_data_is_never_less_strict_than_the_floor_of_the_tenant(memory: Store) -> None:
    limited = replace(memory, permissions=SMALL_TEXT)
    assert (await limited.put(b"doc", classification="public")).classification == "sensitive"
    assert (await limited.put(b"key", classification="confidential")).classification == "confidential"
