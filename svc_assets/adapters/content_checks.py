"""Inspects the bytes of an upload: type, malware, archive and pixel bombs. Runs in child processes: it imports little.

The sizes that a file declares are checked before a library reads it; the process has limits of time and memory.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING

import puremagic
import yara_x

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES = 64 * 1024
MAX_PIXELS = 100_000_000
MAX_RATIO = 200
MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_ENTRIES = 10_000
MAX_DIRECTORY_BYTES = 8 * 1024**2
"""Largest central directory of an archive: 10,000 entries with names of 700 characters fit."""
MAX_DEPTH = 6
MAX_NESTED_BYTES = 32 * 1024**2
"""Bytes that are unpacked to inspect archives in archives; what exceeds them is not inspected."""
SCAN_TIMEOUT_S = 20
ROOT_ELEMENT_TYPES = {b"svg": ("image/svg+xml", "svg"), b"html": ("text/html", "html")}
PROLOGUE = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->|<!doctype\s[^>\[]*(?:\[.*?\]\s*)?>)*", re.DOTALL | re.IGNORECASE)
ROOT_ELEMENT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")
MAGIC_NUMBERS = {
    b"\x89PNG\r\n\x1a\n": ("image/png", "png"),
    b"\xff\xd8\xff": ("image/jpeg", "jpg"),
    b"GIF87a": ("image/gif", "gif"),
    b"GIF89a": ("image/gif", "gif"),
    b"%PDF-": ("application/pdf", "pdf"),
    b"PK\x03\x04": ("application/zip", "zip"),
    b"PK\x05\x06": ("application/zip", "zip"),
    b"OggS": ("audio/ogg", "ogg"),
    b"fLaC": ("audio/flac", "flac"),
    b"ID3": ("audio/mpeg", "mp3"),
}
UNKNOWN_TYPE = ("application/octet-stream", "bin")
_END_RECORD = struct.Struct("<4s4H2LH")
_END64_RECORD = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR = struct.Struct("<4sLQL")
_ENTRY_BYTES = 46
_ENTRY_LENGTHS = struct.Struct("<3H")
_MAX_COMMENT_BYTES = 65_535


class RejectedError(Exception):
    """The bytes must not be stored. `check` names the check that failed."""

    def __init__(self, reason: str, check: str) -> None:
        super().__init__(reason, check)
        self.reason = reason
        self.check = check


@dataclass(frozen=True)
class ContentResult:
    """The type of the bytes. `reason` is empty unless they are rejected; then `check` names the check that failed."""

    media_type: str
    format: str
    reason: str = ""
    check: str = ""


def inspect_content(content: bytes, path: str) -> ContentResult:
    """Inspects the content, or the file when `path` is not empty."""
    with Path(path).open("rb") if path else io.BytesIO(content) as file:
        media_type, extension = sniff(file.read(HEAD_BYTES))
        try:
            if media_type == "application/zip":
                _check_archive(file)
            elif is_parsed(media_type):
                _check_picture(file)
            _scan(content, path)
        except RejectedError as error:
            return ContentResult(media_type, extension, error.reason, error.check)
    return ContentResult(media_type, extension)


def is_parsed(media_type: str) -> bool:
    """Whether a library parses more of such a body than its first bytes."""
    return media_type == "application/zip" or (media_type.startswith("image/") and media_type != "image/svg+xml")


def sniff(head: bytes) -> tuple[str, str]:
    """Returns media type and file extension, by `MAGIC_NUMBERS`, as text, or by the magic numbers of a library."""
    for magic, kind in MAGIC_NUMBERS.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"WEBP"):
        return ("audio/wav", "wav") if head[8:12] == b"WAVE" else ("image/webp", "webp")
    text = _text(head)
    if text is not None:
        return text
    try:
        found = puremagic.magic_string(head)[0]
    except (puremagic.PureError, IndexError):
        return UNKNOWN_TYPE
    return found.mime_type or UNKNOWN_TYPE[0], found.extension.lstrip(".") or UNKNOWN_TYPE[1]


def _text(head: bytes) -> tuple[str, str] | None:
    """Returns the type of text, None for what is not UTF-8. The last character of the head may be cut off."""
    body = head.removeprefix(b"\xef\xbb\xbf")
    if b"\x00" in body:
        return None
    try:
        body.decode()
    except UnicodeDecodeError as error:
        if error.end < len(body) - 3:
            return None
    if body.lstrip().startswith(b"<"):
        return _markup(body)
    if body.lstrip()[:1] in (b"{", b"["):
        return "application/json", "json"
    return "text/plain", "txt"


def _markup(body: bytes) -> tuple[str, str]:
    """Returns the type of markup by its root element, after declarations, instructions, comments and doctype."""
    prologue = PROLOGUE.match(body)
    before = prologue[0].lower() if prologue else b""
    root = ROOT_ELEMENT.match(body, len(before))
    name = root[1].lower() if root else b""
    if name in ROOT_ELEMENT_TYPES:
        return ROOT_ELEMENT_TYPES[name]
    if b"<!doctype html" in before:
        return ROOT_ELEMENT_TYPES[b"html"]
    return ("application/xml", "xml") if b"<?xml" in before else ("text/plain", "txt")


@cache
def _compiled_rules() -> yara_x.Rules:
    """Returns the YARA-X rules of the package, compiled once in each process."""
    compiler = yara_x.Compiler()
    for path in sorted(resources.files("svc_assets").joinpath("rules").iterdir(), key=lambda file: file.name):
        if path.name.endswith(".yar"):
            compiler.add_source(path.read_text())
    return compiler.build()


def _scan(content: bytes, path: str) -> None:
    """Scans for malware; the library maps a file instead of reading it into memory."""
    scanner = yara_x.Scanner(_compiled_rules())
    scanner.set_timeout(SCAN_TIMEOUT_S)
    try:
        hits = (scanner.scan_file(path) if path else scanner.scan(content)).matching_rules
    except yara_x.TimeoutError:
        raise RejectedError("the malware scan took too long", "scan") from None
    if hits:
        names = ", ".join(sorted(hit.identifier for hit in hits))
        raise RejectedError(f"the malware scan found {names}", "scan")


def _check_picture(file: IO[bytes]) -> None:
    """Reads only the header: no context decodes a picture of more than `MAX_PIXELS`."""
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as picture:
                width, height = picture.size
        except Image.DecompressionBombError:
            raise RejectedError("the picture has too many pixels", "pixels") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise RejectedError("the picture cannot be read", "decode") from None
    if width * height > MAX_PIXELS:
        raise RejectedError(f"the picture has {width * height} pixels, more than {MAX_PIXELS}", "pixels")


@dataclass
class _Budget:
    """What remains of the limits while archives in archives are inspected."""

    entries: int
    unpacked: int
    nested: int


def _check_archive(file: IO[bytes]) -> None:
    """Checks entries, unpacked size and ratio by the directories, including those of archives in the archive."""
    size = file.seek(0, io.SEEK_END)
    unpacked = min(MAX_UNPACKED_BYTES, MAX_RATIO * max(size, 1024))
    _check_archive_at_depth(file, _Budget(MAX_ENTRIES, unpacked, MAX_NESTED_BYTES), 0)


def _check_archive_at_depth(file: IO[bytes], budget: _Budget, depth: int) -> None:
    try:
        budget.entries -= _count_entries(file)
        if budget.entries < 0:
            raise RejectedError(f"the archive has more than {MAX_ENTRIES} entries", "entries")
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                budget.unpacked -= entry.file_size
                if budget.unpacked < 0:
                    raise RejectedError("the unpacked size of the archive exceeds the limit", "ratio")
            for nested in _nested(archive, budget) if depth < MAX_DEPTH else ():
                _check_archive_at_depth(nested, budget, depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        if depth == 0:
            raise RejectedError("the archive cannot be read", "decode") from None


def _nested(archive: zipfile.ZipFile, budget: _Budget) -> Iterator[IO[bytes]]:
    """Returns the archives in an archive, as far as the budget allows to unpack them."""
    for entry in archive.infolist():
        encrypted = entry.flag_bits & 1
        if encrypted or not _ENTRY_BYTES <= entry.file_size <= budget.nested:
            continue
        try:
            with archive.open(entry) as body:
                if body.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
                    continue
                budget.nested -= entry.file_size
                content = io.BytesIO(b"PK\x03\x04" + body.read(entry.file_size))
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error):
            continue
        yield content


def _count_entries(file: IO[bytes]) -> int:
    """Counts the entries of the central directory before a library makes objects of them.

    The count in the end record is not trusted.
    """
    start, length = _directory(file)
    if length > MAX_DIRECTORY_BYTES:
        raise RejectedError("the directory of the archive is too large", "entries")
    file.seek(start)
    directory = file.read(length)
    offset = count = 0
    while directory.startswith(b"PK\x01\x02", offset) and offset + _ENTRY_BYTES <= len(directory):
        offset += _ENTRY_BYTES + sum(_ENTRY_LENGTHS.unpack_from(directory, offset + 28))
        count += 1
    return count


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Returns offset and length of the central directory by the last end record, as `zipfile` reads it."""
    size = file.seek(0, io.SEEK_END)
    tail_bytes = _END_RECORD.size + _MAX_COMMENT_BYTES + _END64_LOCATOR.size + _END64_RECORD.size
    tail_start = file.seek(max(0, size - tail_bytes))
    tail = file.read()
    offset = tail.rfind(b"PK\x05\x06")
    if offset < 0 or offset + _END_RECORD.size > len(tail):
        raise zipfile.BadZipFile
    length = _END_RECORD.unpack_from(tail, offset)[5]
    end = tail_start + offset
    if offset >= _END64_LOCATOR.size and tail.startswith(b"PK\x06\x07", offset - _END64_LOCATOR.size):
        end -= _END64_LOCATOR.size + _END64_RECORD.size
        file.seek(max(0, end))
        record = file.read(_END64_RECORD.size)
        if len(record) == _END64_RECORD.size and record.startswith(b"PK\x06\x06"):
            length = _END64_RECORD.unpack(record)[8]
        else:
            end += _END64_LOCATOR.size + _END64_RECORD.size
    if length > end:
        raise zipfile.BadZipFile
    return end - length, length
