"""The bundle: complete, the same every time, and able to prove that it was not changed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from soma_documents.bundle import build, verify_bundle, verify_files
from tests.unit.soma_documents.samples import composed

if TYPE_CHECKING:
    from collections.abc import Callable

RENDERED = {"document.md": ("text/markdown", b"# Door\n"), "document.html": ("text/html", b"<!doctype html>")}


def unpacked(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.fixture(scope="module")
def bundle() -> bytes:
    return build(composed(), RENDERED)


def test_it_holds_the_document_its_assets_and_the_records(bundle: bytes) -> None:
    assert list(unpacked(bundle)) == [
        "manifest.json",
        "assets/plan.png",
        "assets/plan.svg",
        "assets/sound.wav",
        "document.html",
        "document.md",
        "provenance.json",
        "SHA256SUMS",
    ]


def test_the_manifest_describes_every_file(bundle: bytes) -> None:
    files = unpacked(bundle)
    manifest = json.loads(files["manifest.json"])
    described = {entry["path"]: entry for entry in manifest["files"]}
    assert set(described) == set(files) - {"manifest.json", "SHA256SUMS"}
    assert described["assets/plan.svg"] == {
        "path": "assets/plan.svg",
        "role": "asset",
        "media_type": "image/svg+xml",
        "size_bytes": len(files["assets/plan.svg"]),
        "sha256": hashlib.sha256(files["assets/plan.svg"]).hexdigest(),
        "license": "MIT",
        "provenance_id": "a-plan-svg",
        "execution_id": "e-1",
    }


def test_equal_documents_give_equal_bytes_without_a_time(bundle: bytes) -> None:
    assert build(composed(), RENDERED) == bundle
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_it_verifies_packed_and_unpacked(bundle: bytes) -> None:
    assert verify_bundle(bundle) == []
    assert verify_files(unpacked(bundle)) == []


def test_the_sums_are_in_the_format_of_sha256sum(bundle: bytes) -> None:
    files = unpacked(bundle)
    lines = files.pop("SHA256SUMS").decode().splitlines()
    assert sorted(lines) == sorted(f"{hashlib.sha256(content).hexdigest()}  {path}" for path, content in files.items())


def changed(files: dict[str, bytes]) -> None:
    files["document.md"] = b"# Gate\n"


def longer(files: dict[str, bytes]) -> None:
    files["document.md"] += b"!"


def removed(files: dict[str, bytes]) -> None:
    del files["assets/plan.png"]


def added(files: dict[str, bytes]) -> None:
    files["assets/evil.exe"] = b"MZ"


def without_manifest(files: dict[str, bytes]) -> None:
    del files["manifest.json"]


def unreadable(files: dict[str, bytes]) -> None:
    files["manifest.json"] = b"{}"


def relicensed(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"MIT"', b'"WTF"')


def escaping(files: dict[str, bytes]) -> None:
    files["../outside"] = b"x"


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (changed, "document.md was changed: its checksum differs"),
        (longer, "document.md has 8 bytes instead of 7"),
        (removed, "assets/plan.png is missing"),
        (added, "assets/evil.exe is not in the manifest"),
        (without_manifest, "manifest.json is missing"),
        (unreadable, "manifest.json cannot be read"),
        (relicensed, "SHA256SUMS does not agree with the files"),
        (escaping, "../outside leads out of the bundle"),
    ],
)
def test_what_was_done_to_it_is_found(bundle: bytes, tamper: Callable[[dict[str, bytes]], None], problem: str) -> None:
    files = unpacked(bundle)
    tamper(files)
    assert verify_bundle(packed(files)) == [problem]


@pytest.mark.parametrize("cut", [0, 10, -30])
def test_what_is_no_archive_is_said_to_be_none(bundle: bytes, cut: int) -> None:
    (problem,) = verify_bundle(bundle[:cut])
    assert problem.startswith("the bundle cannot be unpacked")


def test_the_provenance_summary_tells_makers_times_costs_and_quality(bundle: bytes) -> None:
    summary = json.loads(unpacked(bundle)["provenance.json"])
    assert [(asset["name"], asset["shown_as"]) for asset in summary["assets"]] == [
        ("plan", "Figure 1"),
        ("plan.svg", "Figure 1"),
        ("sound", "Audio 1"),
        ("functions", "Text"),
    ]
    assert summary["assets"][0]["origin"]["capability_id"] == "mermaid@local"
    assert summary["assets"][2]["origin"] is None
    assert [tool["capability_id"] for tool in summary["tools_used"]] == ["chat@local", "mermaid@local"]
    assert [entry["latency_ms"] for entry in summary["execution_times"]] == [120, 900]
    assert summary["costs"]["total_micro_usd"] == 500
    assert summary["quality"] == {"scored": 2, "mean": 0.8, "lowest": 0.7}
