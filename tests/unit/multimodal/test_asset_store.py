"""Rules of the asset store: names, types, bombs and the memory an upload takes."""

from __future__ import annotations

import io
import json
import string
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mesh.errors import Reason, SomaError
from svc_assets.adapters.content_checks import inspect_content, sniff
from svc_assets.adapters.spool import MAX_MEMORY_BYTES, FileSpooler
from svc_assets.domain.limits import SizeLimits
from svc_assets.domain.model import DetectedType, UploadMetadata
from svc_assets.domain.rules import (
    ACTIVE_MEDIA_TYPES,
    check_upload_metadata,
    clean_filename,
    is_active,
    resolve_asset_type,
    resolve_media_type,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def refused_by(body: bytes) -> str:
    """The check that refuses a body, "" when none does."""
    return inspect_content(body, "").check


def png(width: int = 4, height: int = 4) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def archive(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in entries.items():
            file.writestr(name, body)
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (png(), "image/png"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b'  {"a": 1}', "application/json"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"<?xml version='1.0'?>\n<!-- c --><svg/>", "image/svg+xml"),
        (b'<?plantuml 1.2?><svg xmlns="http://www.w3.org/2000/svg"></svg>', "image/svg+xml"),
        (b'<!DOCTYPE svg PUBLIC "x" "y" [<!ENTITY a "b">]>\n<svg:svg></svg:svg>', "image/svg+xml"),
        (b"<!DOCTYPE html><html></html>", "text/html"),
        (b"<!DOCTYPE html><p>short", "text/html"),
        (b"<?xml version='1.0'?><feed></feed>", "application/xml"),
        (b"<3 is not markup", "text/plain"),
        ("Grüße".encode(), "text/plain"),
        (b"\x00\x01\x02\x03", "application/octet-stream"),
        (archive({"a.txt": b"a"}), "application/zip"),
    ],
)
def test_the_bytes_say_what_they_are(body: bytes, media_type: str) -> None:
    assert sniff(body)[0] == media_type


def test_a_character_cut_at_the_end_of_the_head_is_still_text() -> None:
    assert sniff("aä".encode()[:-1])[0] == "text/plain"


@pytest.mark.parametrize(
    ("declared", "found", "stored"),
    [
        ("", "image/png", "image/png"),
        ("application/octet-stream", "image/png", "image/png"),
        ("image/jpg", "image/jpeg", "image/jpeg"),
        ("text/markdown; charset=utf-8", "text/plain", "text/markdown"),
        ("application/json", "text/plain", "application/json"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip", None),
    ],
)
def test_a_declared_type_that_agrees_is_kept(declared: str, found: str, stored: str | None) -> None:
    assert resolve_media_type(declared, DetectedType(found, "x")) == (stored or declared)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("image/png", "image/jpeg"),
        ("image/png", "text/html"),
        ("text/plain", "text/html"),
        ("text/plain", "image/svg+xml"),
        ("text/html", "text/plain"),
        ("audio/wav", "application/zip"),
    ],
)
def test_a_declared_type_that_contradicts_the_bytes_is_refused(declared: str, found: str) -> None:
    with pytest.raises(SomaError) as refused:
        resolve_media_type(declared, DetectedType(found, "x"))
    assert refused.value.reason is Reason.UNSUPPORTED_MEDIA_TYPE


@given(
    st.sampled_from(["text/plain", "image/png", "application/json"]),
    st.sampled_from(sorted(ACTIVE_MEDIA_TYPES - {"text/xml"})),
)
def test_active_content_never_passes_as_something_harmless(declared: str, found: str) -> None:
    try:
        stored = resolve_media_type(declared, DetectedType(found, "x"))
    except SomaError:
        return
    assert is_active(stored)


@given(st.text(max_size=600))
def test_a_clean_name_has_no_folder_no_control_and_fits(name: str) -> None:
    clean = clean_filename(name, "fallback")
    assert clean
    assert len(clean) <= 255
    assert not set(clean) & set('/\\"<>|:*?\r\n\t\x00')
    assert not clean.startswith(".")


@given(st.text(string.ascii_letters + string.digits + "-_ ", min_size=1, max_size=50).map(str.strip).filter(bool))
def test_an_ordinary_name_stays(name: str) -> None:
    assert clean_filename(f"folder/{name}.png", "x") == f"{name}.png"


def test_metadata_has_a_limit() -> None:
    with pytest.raises(SomaError) as refused:
        check_upload_metadata(UploadMetadata(metadata=json.loads(json.dumps({"a": "x" * 20_000}))))
    assert refused.value.fields[0].field == "metadata"


def test_the_asset_type_follows_the_media_type_where_none_is_given() -> None:
    given_types = ["image/png", "audio/wav", "application/pdf", "text/plain", "application/zip"]
    assert [resolve_asset_type("", media) for media in given_types] == ["image", "audio", "document", "text", "data"]
    assert resolve_asset_type("diagram", "image/png") == "diagram"


def test_a_picture_with_too_many_pixels_is_refused_by_its_header() -> None:
    body = bytearray(png())
    body[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    body[29:33] = zlib.crc32(bytes(body[12:29])).to_bytes(4, "big")
    assert refused_by(bytes(body)) == "pixels"


def test_a_broken_picture_is_refused() -> None:
    assert refused_by(png()[:20]) == "decode"


def test_an_archive_bomb_is_refused() -> None:
    assert refused_by(archive({"zeros": bytes(3_000_000)})) == "ratio"


@pytest.mark.parametrize(
    "body",
    [
        b"\x7fELF\x02\x01\x01" + bytes(60),
        b"MZ" + bytes(60) + b"This program cannot be run in DOS mode",
        png() + b"<?php system($_GET[0]); ?>",
    ],
)
def test_programs_and_disguised_scripts_are_refused(body: bytes) -> None:
    assert refused_by(body) == "scan"


def test_harmless_files_pass() -> None:
    for body in (png(), b"plain text about MZ and ELF", archive({"a.txt": b"hello"}), b'{"a": "<?php"}'):
        assert refused_by(body) == ""


async def test_a_large_body_waits_in_a_file_and_reading_stops_at_the_limit(tmp_path: Path) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += MAX_MEMORY_BYTES
            yield bytes(MAX_MEMORY_BYTES)

    with pytest.raises(SomaError) as refused:
        async with FileSpooler(tmp_path).receive(endless(), SizeLimits(5 * MAX_MEMORY_BYTES).largest({})):
            pass
    assert refused.value.reason is Reason.PAYLOAD_TOO_LARGE
    assert read == 6 * MAX_MEMORY_BYTES
