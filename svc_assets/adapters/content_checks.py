"""Looks at the bytes of an upload: type, malware, archive and pixel bombs. Child processes run it: it imports little.

What a file claims of itself is bounded before a library reads it; what a library does is bounded by the process.
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

HEAD = 64 * 1024
MAX_PIXELS = 100_000_000
MAX_RATIO = 200
MAX_UNPACKED = 2 * 1024**3
MAX_ENTRIES = 10_000
MAX_DIRECTORY = 8 * 1024**2
"""Bytes of an archive's directory: 10,000 entries with names of 700 characters fit."""
MAX_DEPTH = 6
NESTED_BUDGET = 32 * 1024**2
"""Bytes that are unpacked to look into archives in archives; what is beyond stays unseen."""
SCAN_SECONDS = 20
ROOTS = {b"svg": ("image/svg+xml", "svg"), b"html": ("text/html", "html")}
PROLOGUE = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->|<!doctype\s[^>\[]*(?:\[.*?\]\s*)?>)*", re.DOTALL | re.IGNORECASE)
ROOT = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)[\s/>]")
BINARY = {
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
OCTETS = ("application/octet-stream", "bin")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY_BYTES = 46
_ENTRY_LENGTHS = struct.Struct("<3H")
_LARGEST_COMMENT = 65_535


class RejectedError(Exception):
    """The bytes must not be stored. `check` names what found that."""

    def __init__(self, why: str, check: str) -> None:
        super().__init__(why, check)
        self.why = why
        self.check = check


@dataclass(frozen=True)
class Finding:
    """What the bytes are. `why` is empty unless they are rejected, then `check` names what found that."""

    media_type: str
    format: str
    why: str = ""
    check: str = ""


def examine(content: bytes, path: str) -> Finding:
    """Looks at the content, or at that of the file where a path is given."""
    with Path(path).open("rb") if path else io.BytesIO(content) as file:
        media_type, ending = sniff(file.read(HEAD))
        try:
            if media_type == "application/zip":
                _check_archive(file)
            elif is_parsed(media_type):
                _check_picture(file)
            _scan(content, path)
        except RejectedError as error:
            return Finding(media_type, ending, error.why, error.check)
    return Finding(media_type, ending)


def is_parsed(media_type: str) -> bool:
    """Whether a library reads more of it than its first bytes."""
    return media_type == "application/zip" or (media_type.startswith("image/") and media_type != "image/svg+xml")


def sniff(head: bytes) -> tuple[str, str]:
    """Media type and file ending: the common ones exactly, others by their magic numbers, text by its look."""
    for magic, kind in BINARY.items():
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
        return OCTETS
    return found.mime_type or OCTETS[0], found.extension.lstrip(".") or OCTETS[1]


def _text(head: bytes) -> tuple[str, str] | None:
    """The kind of text, None for what is not UTF-8 text. A character cut at the end of the head is no fault."""
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
    """Markup by its root element; what comes before it (declarations, instructions, comments, doctype) says little."""
    prologue = PROLOGUE.match(body)
    before = prologue[0].lower() if prologue else b""
    root = ROOT.match(body, len(before))
    name = root[1].lower() if root else b""
    if name in ROOTS:
        return ROOTS[name]
    if b"<!doctype html" in before:
        return ROOTS[b"html"]
    return ("application/xml", "xml") if b"<?xml" in before else ("text/plain", "txt")


@cache
def _rules() -> yara_x.Rules:
    """The YARA-X rules of the package, compiled once in each process."""
    compiler = yara_x.Compiler()
    for path in sorted(resources.files("svc_assets").joinpath("rules").iterdir(), key=lambda item: item.name):
        if path.name.endswith(".yar"):
            compiler.add_source(path.read_text())
    return compiler.build()


def _scan(content: bytes, path: str) -> None:
    """Scans for malware; a file is mapped, not read into memory."""
    scanner = yara_x.Scanner(_rules())
    scanner.set_timeout(SCAN_SECONDS)
    try:
        hits = (scanner.scan_file(path) if path else scanner.scan(content)).matching_rules
    except yara_x.TimeoutError:
        raise RejectedError("the malware scan took too long", "scan") from None
    if hits:
        names = ", ".join(sorted(hit.identifier for hit in hits))
        raise RejectedError(f"the malware scan found {names}", "scan")


def _check_picture(file: IO[bytes]) -> None:
    """Reads the header alone: a picture of more than 100 megapixels is not decoded by anybody here."""
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
    """What is left of the limits while archives in archives are looked into."""

    entries: int
    unpacked: int
    nested: int


def _check_archive(file: IO[bytes]) -> None:
    """Reads directories alone: entries, unpacked size and ratio, those of archives in the archive included."""
    size = file.seek(0, io.SEEK_END)
    unpacked = min(MAX_UNPACKED, MAX_RATIO * max(size, 1024))
    _check_level(file, _Budget(MAX_ENTRIES, unpacked, NESTED_BUDGET), 0)


def _check_level(file: IO[bytes], budget: _Budget, depth: int) -> None:
    try:
        budget.entries -= _count_entries(file)
        if budget.entries < 0:
            raise RejectedError(f"the archive has more than {MAX_ENTRIES} entries", "entries")
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                budget.unpacked -= entry.file_size
                if budget.unpacked < 0:
                    raise RejectedError("the archive unpacks to far more than it weighs", "ratio")
            for nested in _nested(archive, budget) if depth < MAX_DEPTH else ():
                _check_level(nested, budget, depth + 1)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        if depth == 0:
            raise RejectedError("the archive cannot be read", "decode") from None


def _nested(archive: zipfile.ZipFile, budget: _Budget) -> Iterator[IO[bytes]]:
    """The archives in an archive, as far as the budget allows to unpack them."""
    for entry in archive.infolist():
        encrypted = entry.flag_bits & 1
        if encrypted or not _ENTRY_BYTES <= entry.file_size <= budget.nested:
            continue
        try:
            with archive.open(entry) as body:
                if body.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
                    continue
                budget.nested -= entry.file_size
                whole = io.BytesIO(b"PK\x03\x04" + body.read(entry.file_size))
        except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error):
            continue
        yield whole


def _count_entries(file: IO[bytes]) -> int:
    """Entries of the directory, counted before a library makes objects of them; what the end record claims is not
    believed.
    """
    start, length = _directory(file)
    if length > MAX_DIRECTORY:
        raise RejectedError("the directory of the archive is too large", "entries")
    file.seek(start)
    directory = file.read(length)
    place = count = 0
    while directory.startswith(b"PK\x01\x02", place) and place + _ENTRY_BYTES <= len(directory):
        place += _ENTRY_BYTES + sum(_ENTRY_LENGTHS.unpack_from(directory, place + 28))
        count += 1
    return count


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Where the directory begins and how long it is, by the last end record, as `zipfile` reads it."""
    size = file.seek(0, io.SEEK_END)
    tail_start = file.seek(max(0, size - _END.size - _LARGEST_COMMENT - _LOCATOR.size - _END64.size))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        raise zipfile.BadZipFile
    length = _END.unpack_from(tail, place)[5]
    end = tail_start + place
    if place >= _LOCATOR.size and tail.startswith(b"PK\x06\x07", place - _LOCATOR.size):
        end -= _LOCATOR.size + _END64.size
        file.seek(max(0, end))
        record = file.read(_END64.size)
        if len(record) == _END64.size and record.startswith(b"PK\x06\x06"):
            length = _END64.unpack(record)[8]
        else:
            end += _LOCATOR.size + _END64.size
    if length > end:
        raise zipfile.BadZipFile
    return end - length, length
