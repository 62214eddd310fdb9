"""Archives are measured before a library makes objects of their entries; odd but honest ones pass."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest

from svc_assets.adapters.content_checks import MAX_DIRECTORY_BYTES, MAX_ENTRIES, inspect_content, sniff

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024


def archive(entries: Mapping[str, bytes], *, comment: bytes = b"", stored: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as file:
        file.comment = comment
        for name, body in entries.items():
            file.writestr(name, body)
    return out.getvalue()


def directory_of(count: int, *, claimed: int | None = None, zip64: bool = True) -> bytes:
    """One local entry, and a directory in which `count` entries point at it; the end record claims another number."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    told = count if claimed is None else claimed
    if not zip64:
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, told, told, len(directory), len(local), 0)
        return local + directory + end
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, told, told, len(directory), len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(directory), 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + directory + end64 + locator + end


@pytest.mark.parametrize("claimed", [None, 1], ids=["honest", "lying"])
def test_a_directory_bomb_is_refused_without_reading_its_entries(claimed: int | None) -> None:
    """Regression: 14 MB of directory became 105 MB of objects before they were counted."""
    body = directory_of(160_000, claimed=claimed)
    tracemalloc.start()
    try:
        found = inspect_content(body, "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.check == "entries"
    assert peak < MAX_DIRECTORY_BYTES + 2 * MIB


def test_a_directory_that_is_too_large_is_not_read() -> None:
    body = directory_of(400_000)
    tracemalloc.start()
    try:
        found = inspect_content(body, "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.check, peak < 2 * MIB) == ("entries", True)


@pytest.mark.parametrize(("count", "check"), [(MAX_ENTRIES, ""), (MAX_ENTRIES + 1, "entries")])
@pytest.mark.parametrize("zip64", [False, True])
def test_an_archive_may_have_many_entries_but_not_more_than_the_limit(count: int, check: str, zip64: bool) -> None:
    assert inspect_content(directory_of(count, zip64=zip64), "").check == check


def test_a_bomb_within_archives_is_found() -> None:
    bomb = archive({"zeros": bytes(40 * MIB)})
    assert inspect_content(archive({"readme.txt": b"hello", "a.zip": archive({"b.zip": bomb})}), "").check == "ratio"


def office() -> bytes:
    parts = {"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<r/>", "word/document.xml": b"<w:p/>" * 5_000}
    return archive(parts)


@pytest.mark.parametrize(
    "body",
    [
        archive({}),
        archive({"a.txt": b"hello"}, comment=b"a comment"),
        archive({"a.txt": b"hello"}, comment=b"x" * 65_000),
        archive({"one.zip": archive({"a": b"a"}), "two.zip": archive({"b": b"b" * 1000}, stored=True)}),
        archive({"broken.zip": b"PK\3\4 is no archive" + bytes(100), "short.zip": b"PK"}),
        archive({f"photos/{number:04}.jpg": b"\xff\xd8\xff" for number in range(2_000)}),
        office(),
    ],
    ids=["empty", "comment", "long comment", "nested", "broken within", "many", "office"],
)
def test_honest_archives_pass(body: bytes) -> None:
    found = inspect_content(body, "")
    assert (found.media_type, found.check) == ("application/zip", "")


@pytest.mark.parametrize(
    "body",
    [
        b"PK\3\4 cut off",
        archive({"a.txt": b"hello"})[:-10],
        archive({"a.txt": b"hello"}, comment=b"PK\5\6 looks like an end"),
        b"PK\5\6" + bytes(3),
    ],
    ids=["no end", "cut end", "false end", "short end"],
)
def test_archives_that_cannot_be_read_are_refused(body: bytes) -> None:
    assert inspect_content(body, "").check == "decode"


def test_a_picture_with_an_archive_behind_it_is_what_its_first_bytes_say() -> None:
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,"
    gif += b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    both = gif + archive({"a.txt": b"a"})
    assert sniff(both) == ("image/gif", "gif")
    assert inspect_content(both, "").check == ""
