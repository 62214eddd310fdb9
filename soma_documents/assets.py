"""Finds the inputs that a document shows, checks that they can be shown, and gives them paths in the bundle."""

from __future__ import annotations

import hashlib
import io
import re
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from soma_documents.document import File
from soma_documents.files import InputFile, SvgInspection
from soma_documents.model import tidy

if TYPE_CHECKING:
    from soma_documents.files import Inputs

_SVG = "image/svg+xml"
_ENDINGS = {
    "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", _SVG: "svg",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/vnd.wave": "wav", "audio/mpeg": "mp3", "audio/ogg": "ogg",
    "audio/flac": "flac", "audio/mp4": "m4a", "audio/webm": "weba", "video/mp4": "mp4", "video/webm": "webm",
    "text/markdown": "md", "text/plain": "txt", "application/json": "json",
}  # fmt: skip
_RASTER = {"PNG", "JPEG", "GIF", "WEBP"}
_LIVE_TEXT = re.compile(r"<(\w+:)?(text|foreignObject)[\s>]")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_PIXELS = 60_000_000
_SCREEN_DPI = 96
_KILO = 1_000
_MEGA = 1_000_000


class UnusableError(Exception):
    """An input that is absent or cannot be shown; the text says why, for people, with a hint in parentheses."""

    def __init__(self, message: str, *, absent: bool = False, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.absent = absent


@dataclass(frozen=True)
class FigureFiles:
    """What there is to show under one input name; see `document.Figure` for the fields."""

    raster: File | None = None
    vector: File | None = None
    sound: File | None = None
    video: File | None = None
    width: float = 0.0
    height: float = 0.0
    live_text: bool = False
    facts: str = ""
    caption: str = ""


class AssetIndex:
    """The inputs of one composition. The variants of an input are named after it: `login`, `login.svg`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._files: dict[str, File] = {}

    @property
    def files(self) -> tuple[File, ...]:
        """Every file taken so far, ordered by path."""
        return tuple(sorted(self._files.values(), key=lambda file: file.path))

    def text(self, name: str) -> str:
        """The text of an input; raise UnusableError."""
        given = self._input(name)
        if isinstance(given, str):
            return tidy(given)
        if not given.media_type.startswith("text/"):
            raise UnusableError(f"the input {name!r} is {given.media_type}, not text")
        self._file(name, given)
        return tidy(given.content.decode("utf-8", "replace"))

    def figure(self, name: str) -> FigureFiles:
        """What can be shown of an input and its variants; raise UnusableError."""
        given = self._input(name)
        if isinstance(given, str):
            raise UnusableError(f"the input {name!r} is text; give it as the body of a section")
        kind = _kind(given.media_type)
        if kind == "audio":
            file = self._file(name, given)
            return FigureFiles(sound=file, facts=_facts(file, _duration(given.content)), caption=given.caption)
        if kind == "video":
            file = self._file(name, given)
            return FigureFiles(video=file, facts=_facts(file, ""), caption=given.caption)
        return self._picture(name, given)

    def _picture(self, name: str, given: InputFile) -> FigureFiles:
        variants = [(name, given)] + [
            (f"{name}.{ending}", other)
            for ending in ("svg", "png")
            if isinstance(other := self._inputs.get(f"{name}.{ending}"), InputFile)
        ]
        vector = raster = None
        width = height = 0.0
        live_text = False
        for variant, file in variants:
            if file.media_type == _SVG and vector is None:
                size = _vector_size(variant, file, optional=len(variants) > 1 and variant != name)
                if size is not None:
                    vector = self._file(variant, file)
                    live_text = bool(_LIVE_TEXT.search(file.content.decode("utf-8", "replace")))
                    width, height = (width, height) if raster else size
            elif file.media_type.startswith("image/") and file.media_type != _SVG and raster is None:
                pixels = _raster_size(variant, file)
                raster = self._file(variant, file)
                width, height = pixels
        if vector is None and raster is None:
            raise UnusableError(f"the input {name!r} is {given.media_type}, which cannot be shown as a figure")
        main = raster or vector
        facts = _facts(main, "") if main else ""
        return FigureFiles(raster, vector, None, None, width, height, live_text, facts, given.caption)

    def _input(self, name: str) -> InputFile | str:
        given = self._inputs.get(name)
        if given is None:
            known = ", ".join(sorted(self._inputs)) or "none"
            raise UnusableError(f"the input {name!r} is missing", absent=True, hint=f"inputs given: {known}")
        return given

    def _file(self, name: str, given: InputFile) -> File:
        if name not in self._files:
            self._files[name] = File(
                name=name,
                path=self._path(name, given),
                media_type=given.media_type,
                content=given.content,
                sha256=hashlib.sha256(given.content).hexdigest(),
                asset_id=given.asset_id,
            )
        return self._files[name]

    def _path(self, name: str, given: InputFile) -> str:
        ending = _ENDINGS.get(given.media_type, "bin")
        stem = _UNSAFE.sub("-", name.removesuffix(f".{ending}")).strip("-.") or "asset"
        taken = {file.path.casefold() for file in self._files.values()}
        path, count = f"assets/{stem}.{ending}", 2
        while path.casefold() in taken:
            path, count = f"assets/{stem}-{count}.{ending}", count + 1
        return path


def size_text(size: int) -> str:
    """A size in bytes for people, in decimal units."""
    if size < _KILO:
        return f"{size} bytes"
    if size < _MEGA:
        return f"{size / _KILO:.0f} kB"
    return f"{size / _MEGA:.1f} MB"


def _kind(media_type: str) -> str:
    return media_type.partition("/")[0]


def _facts(file: File, duration: str) -> str:
    """Format, length and size in a few words."""
    parts = (file.path.rpartition(".")[2].upper(), duration, size_text(len(file.content)))
    return ", ".join(part for part in parts if part)


def _duration(content: bytes) -> str:
    """Length of a WAV as m:ss; empty for what is no plain WAV, since only players know those."""
    try:
        with wave.open(io.BytesIO(content)) as sound:
            seconds = round(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return ""
    return f"{seconds // 60}:{seconds % 60:02}"


def _vector_size(name: str, given: InputFile, *, optional: bool) -> tuple[float, float] | None:
    found = given.svg or SvgInspection(refusal="nobody has inspected it")
    if not found.refusal:
        return found.width, found.height
    if optional:
        return None
    raise UnusableError(f"the input {name!r} is no picture that can be shown: {found.refusal}")


def _raster_size(name: str, given: InputFile) -> tuple[float, float]:
    """Decode the whole picture, so that a broken one is found here and not by a reader."""
    try:
        with Image.open(io.BytesIO(given.content)) as image:
            image.verify()
        with Image.open(io.BytesIO(given.content)) as image:
            width, height = image.size
            if image.format not in _RASTER:
                raise UnusableError(f"the input {name!r} is {image.format}; give PNG, JPEG, GIF, WebP or SVG")
            if Image.MIME[image.format] != given.media_type:
                raise UnusableError(f"the input {name!r} says {given.media_type} but is {Image.MIME[image.format]}")
            if width * height > _MAX_PIXELS:
                raise UnusableError(f"the input {name!r} has {width} × {height} pixels, which is too many")
            image.load()
            density = _density(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise UnusableError(f"the input {name!r} is a broken picture") from None
    return width * _SCREEN_DPI / density, height * _SCREEN_DPI / density


def _density(image: Image.Image) -> float:
    """Dots per inch; twice a screen's where the picture does not say, as our engines draw for sharp screens."""
    given = image.info.get("dpi")
    horizontal = float(given[0]) if isinstance(given, tuple) and given else 0.0
    return horizontal if horizontal > _SCREEN_DPI else 2.0 * _SCREEN_DPI
