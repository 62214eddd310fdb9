"""Packs a document and its files into a ZIP with checksums, which can be verified before and after unpacking.

Equal content gives equal bytes: entries are sorted, have a fixed time, and are compressed at a fixed level.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from soma_documents.provenance import provenance_summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_documents.document import Document
    from soma_documents.model import JsonValue

MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
SCHEMA = "soma.bundle/v1"
_ENTRY_TIME = (1980, 1, 1, 0, 0, 0)
_COMPRESSION_LEVEL = 6
_FILE_ATTRIBUTES = 0o100644 << 16
_MAX_UNPACKED_BYTES = 1 << 30


@dataclass(frozen=True)
class _Entry:
    path: str
    content: bytes = field(repr=False)
    media_type: str
    role: str
    licence: str = ""
    asset_id: str = ""
    execution_id: str = ""


def build(document: Document, rendered: Mapping[str, tuple[str, bytes]]) -> bytes:
    """Returns the bundle of a document; `rendered` has media type and bytes by path.

    The provenance id of a file is its asset id.
    """
    entries = [_Entry(path, content, media_type, "document") for path, (media_type, content) in rendered.items()]
    for file in document.files:
        origin = document.find_origin(file)
        entries.append(
            _Entry(
                path=file.path,
                content=file.content,
                media_type=file.media_type,
                role="asset",
                licence=origin.license if origin else "",
                asset_id=file.asset_id,
                execution_id=origin.execution_id if origin else "",
            )
        )
    summary = _json(provenance_summary(document))
    entries.append(_Entry("provenance.json", summary, "application/json", "provenance"))
    entries.sort(key=lambda entry: entry.path)
    manifest = _json(_manifest(document, entries))
    files = {MANIFEST: manifest} | {entry.path: entry.content for entry in entries}
    sums = "".join(f"{_digest(content)}  {path}\n" for path, content in files.items())
    return _zip(files | {CHECKSUMS: sums.encode()})


def verify_bundle(packed: bytes) -> list[str]:
    """Returns the problems of a bundle, one sentence each; empty when it is unchanged."""
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED_BYTES:
                return ["the bundle unpacks to more than 1 GiB"]
            problems = [f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
            problems += [f"{name} leads out of the bundle" for name in names if not _is_inside(name)]
            return problems or verify_files({name: archive.read(name) for name in names})
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        return [f"the bundle cannot be unpacked: {error}"]


def verify_files(files: Mapping[str, bytes]) -> list[str]:
    """Returns the problems of an unpacked bundle, whose files are given by their paths in its folder."""
    if MANIFEST not in files:
        return [f"{MANIFEST} is missing"]
    try:
        manifest = json.loads(files[MANIFEST])
        expected = {str(entry["path"]): (str(entry["sha256"]), int(entry["size_bytes"])) for entry in manifest["files"]}
    except (ValueError, KeyError, TypeError):
        return [f"{MANIFEST} cannot be read"]
    if manifest.get("schema") != SCHEMA:
        return [f"{MANIFEST} is not of the schema {SCHEMA}"]
    problems = [f"{path} is missing" for path in expected if path not in files]
    problems += [f"{path} is not in the manifest" for path in files if path not in {*expected, MANIFEST, CHECKSUMS}]
    for path, (digest, size) in expected.items():
        if path in files and len(files[path]) != size:
            problems.append(f"{path} has {len(files[path])} bytes instead of {size}")
        elif path in files and _digest(files[path]) != digest:
            problems.append(f"{path} was changed: its checksum differs")
    sums = "".join(f"{_digest(files[path])}  {path}\n" for path in [MANIFEST, *expected] if path in files)
    if not problems and files.get(CHECKSUMS) != sums.encode():
        problems.append(f"{CHECKSUMS} does not agree with the files")
    return problems


def _manifest(document: Document, entries: list[_Entry]) -> JsonValue:
    spec = document.spec
    return {
        "schema": SCHEMA,
        "title": spec.title,
        "kind": spec.kind,
        "version": spec.version,
        "content_sha256": document.digest,
        "files": [
            {
                "path": entry.path,
                "role": entry.role,
                "media_type": entry.media_type,
                "size_bytes": len(entry.content),
                "sha256": _digest(entry.content),
                "license": entry.licence or None,
                "provenance_id": entry.asset_id or None,
                "execution_id": entry.execution_id or None,
            }
            for entry in entries
        ],
    }


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, date_time=_ENTRY_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _FILE_ATTRIBUTES
            entry.create_system = 3
            archive.writestr(entry, content, compresslevel=_COMPRESSION_LEVEL)
    return packed.getvalue()


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _json(value: JsonValue) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
