"""Looks at the bytes: type, malware, archive and pixel bombs."""

from __future__ import annotations

import asyncio
import re
import warnings
import zipfile
from importlib import resources
from typing import TYPE_CHECKING

import puremagic
import yara_x
from PIL import Image, UnidentifiedImageError

from mesh.errors import Reason, SomaError
from svc_assets.domain.model import Sniffed
from svc_assets.domain.rules import base_type

if TYPE_CHECKING:
    from svc_assets.domain.ports import Spool

HEAD = 64 * 1024
MAX_PIXELS = 100_000_000
MAX_RATIO = 200
MAX_UNPACKED = 2 * 1024**3
MAX_ENTRIES = 10_000
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


def sniff(head: bytes) -> Sniffed:
    """Tells the type from the first bytes: the common ones exactly, others by their magic numbers, text by its look."""
    for magic, (media_type, ending) in BINARY.items():
        if head.startswith(magic):
            return Sniffed(media_type, ending)
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"WEBP"):
        return Sniffed("audio/wav", "wav") if head[8:12] == b"WAVE" else Sniffed("image/webp", "webp")
    text = _text(head)
    if text is not None:
        return text
    try:
        found = puremagic.magic_string(head)[0]
    except (puremagic.PureError, IndexError):
        return Sniffed("application/octet-stream", "bin")
    media_type = base_type(found.mime_type or "application/octet-stream")
    return Sniffed(media_type, found.extension.lstrip(".") or "bin")


def _text(head: bytes) -> Sniffed | None:
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
        return Sniffed("application/json", "json")
    return Sniffed("text/plain", "txt")


def _markup(body: bytes) -> Sniffed:
    """Markup by its root element; what comes before it (declarations, instructions, comments, doctype) says little."""
    prologue = PROLOGUE.match(body)
    before = prologue[0].lower() if prologue else b""
    root = ROOT.match(body, len(before))
    name = root[1].lower() if root else b""
    if name in ROOTS:
        return Sniffed(*ROOTS[name])
    if b"<!doctype html" in before:
        return Sniffed("text/html", "html")
    return Sniffed("application/xml", "xml") if b"<?xml" in before else Sniffed("text/plain", "txt")


class LocalInspector:
    """Sniffs, scans with the YARA-X rules of the package, and measures archives and pictures before they are opened."""

    def __init__(self) -> None:
        compiler = yara_x.Compiler()
        for path in sorted(resources.files("svc_assets").joinpath("rules").iterdir(), key=lambda item: item.name):
            if path.name.endswith(".yar"):
                compiler.add_source(path.read_text())
        self._rules = compiler.build()

    async def sniff(self, spool: Spool) -> Sniffed:
        """Tells the type from the bytes."""
        return sniff(await spool.head(HEAD))

    async def inspect(self, spool: Spool, sniffed: Sniffed) -> None:
        """CONTENT_REJECTED for what must not be stored."""
        await asyncio.to_thread(self._inspect, spool, sniffed)

    def _inspect(self, spool: Spool, sniffed: Sniffed) -> None:
        if sniffed.media_type.startswith("image/") and sniffed.media_type != "image/svg+xml":
            _check_picture(spool)
        if sniffed.media_type == "application/zip":
            _check_archive(spool)
        hits = self._rules.scan(spool.handle().read()).matching_rules
        if hits:
            names = ", ".join(sorted(hit.identifier for hit in hits))
            raise _rejected(f"the malware scan found {names}", "scan")


def _rejected(why: str, by: str) -> SomaError:
    return SomaError(Reason.CONTENT_REJECTED, f"the body was refused: {why}", metadata={"check": by})


def _check_picture(spool: Spool) -> None:
    """Reads the header alone: a picture of more than 100 megapixels is not decoded by anybody here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(spool.handle()) as picture:
                width, height = picture.size
        except Image.DecompressionBombError:
            raise _rejected("the picture has too many pixels", "pixels") from None
        except (UnidentifiedImageError, OSError, SyntaxError):
            raise _rejected("the picture cannot be read", "decode") from None
    if width * height > MAX_PIXELS:
        raise _rejected(f"the picture has {width * height} pixels, more than {MAX_PIXELS}", "pixels")


def _check_archive(spool: Spool) -> None:
    """Reads the directory alone: entries, unpacked size and ratio."""
    try:
        with zipfile.ZipFile(spool.handle()) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError):
        raise _rejected("the archive cannot be read", "decode") from None
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES:
        raise _rejected(f"the archive has more than {MAX_ENTRIES} entries", "entries")
    if unpacked > MAX_UNPACKED or unpacked > MAX_RATIO * max(spool.size, 1024):
        raise _rejected("the archive unpacks to far more than it weighs", "ratio")
