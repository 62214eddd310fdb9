"""Looks up the inputs of a document, validates them, and assigns their paths in the bundle."""

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
from soma_documents.model import clean_text

if TYPE_CHECKING:
    from soma_documents.files import Inputs

_SVG = "image/svg+xml"
_EXTENSIONS = {
    "image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", _SVG: "svg",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/vnd.wave": "wav", "audio/mpeg": "mp3", "audio/ogg": "ogg",
    "audio/flac": "flac", "audio/mp4": "m4a", "audio/webm": "weba", "video/mp4": "mp4", "video/webm": "webm",
    "text/markdown": "md", "text/plain": "txt", "application/json": "json",
}  # fmt: skip
_RASTER_FORMATS = {"PNG", "JPEG", "GIF", "WEBP"}
_LIVE_TEXT = re.compile(r"<(\w+:)?(text|foreignObject)[\s>]")
_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_PIXELS = 60_000_000
_SCREEN_DPI = 96
_KILO = 1_000
_MEGA = 1_000_000


class InputError(Exception):
    """An input is missing or cannot be shown; the message tells people why."""

    def __init__(self, message: str, *, absent: bool = False, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.absent = absent


@dataclass(frozen=True)
class FigureFiles:
    """The files of one figure; see `document.Figure` for the fields."""

    raster: File | None = None
    vector: File | None = None
    sound: File | None = None
    video: File | None = None
    width: float = 0.0
    height: float = 0.0
    live_text: bool = False
    details: str = ""
    caption: str = ""


class AssetIndex:
    """The inputs of one composition. The variants of an input are named after it: `login`, `login.svg`."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._files: dict[str, File] = {}

    @property
    def files(self) -> tuple[File, ...]:
        """The files that were used so far, ordered by path."""
        return tuple(sorted(self._files.values(), key=lambda file: file.path))

    def read_text(self, name: str) -> str:
        """Returns the text of an input; raises InputError."""
        source = self._input(name)
        if isinstance(source, str):
            return clean_text(source)
        if not source.media_type.startswith("text/"):
            raise InputError(f"the input {name!r} is {source.media_type}, not text")
        self._file(name, source)
        return clean_text(source.content.decode("utf-8", "replace"))

    def read_figure(self, name: str) -> FigureFiles:
        """Returns the files of an input and its variants; raises InputError."""
        source = self._input(name)
        if isinstance(source, str):
            raise InputError(f"the input {name!r} is text; give it as the body of a section")
        kind = _kind(source.media_type)
        if kind == "audio":
            file = self._file(name, source)
            return FigureFiles(sound=file, details=_describe(file, _duration(source.content)), caption=source.caption)
        if kind == "video":
            file = self._file(name, source)
            return FigureFiles(video=file, details=_describe(file, ""), caption=source.caption)
        return self._image_files(name, source)

    def _image_files(self, name: str, source: InputFile) -> FigureFiles:
        variants = [(name, source)] + [
            (f"{name}.{extension}", other)
            for extension in ("svg", "png")
            if isinstance(other := self._inputs.get(f"{name}.{extension}"), InputFile)
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
            raise InputError(f"the input {name!r} is {source.media_type}, which cannot be shown as a figure")
        main = raster or vector
        details = _describe(main, "") if main else ""
        return FigureFiles(raster, vector, None, None, width, height, live_text, details, source.caption)

    def _input(self, name: str) -> InputFile | str:
        source = self._inputs.get(name)
        if source is None:
            available = ", ".join(sorted(self._inputs)) or "none"
            raise InputError(f"the input {name!r} is missing", absent=True, hint=f"inputs given: {available}")
        return source

    def _file(self, name: str, source: InputFile) -> File:
        if name not in self._files:
            self._files[name] = File(
                name=name,
                path=self._path(name, source),
                media_type=source.media_type,
                content=source.content,
                sha256=hashlib.sha256(source.content).hexdigest(),
                asset_id=source.asset_id,
            )
        return self._files[name]

    def _path(self, name: str, source: InputFile) -> str:
        extension = _EXTENSIONS.get(source.media_type, "bin")
        stem = _UNSAFE_CHARACTERS.sub("-", name.removesuffix(f".{extension}")).strip("-.") or "asset"
        taken = {file.path.casefold() for file in self._files.values()}
        path, count = f"assets/{stem}.{extension}", 2
        while path.casefold() in taken:
            path, count = f"assets/{stem}-{count}.{extension}", count + 1
        return path


def size_text(size: int) -> str:
    """Returns a size in bytes in decimal units."""
    if size < _KILO:
        return f"{size} bytes"
    if size < _MEGA:
        return f"{size / _KILO:.0f} kB"
    return f"{size / _MEGA:.1f} MB"


def _kind(media_type: str) -> str:
    return media_type.partition("/")[0]


def _describe(file: File, duration: str) -> str:
    """Returns format, duration and size of a file."""
    parts = (file.path.rpartition(".")[2].upper(), duration, size_text(len(file.content)))
    return ", ".join(part for part in parts if part)


def _duration(content: bytes) -> str:
    """Returns the duration of a WAV as m:ss; "" for other formats, which are not decoded."""
    try:
        with wave.open(io.BytesIO(content)) as sound:
            seconds = round(sound.getnframes() / sound.getframerate())
    except (wave.Error, EOFError, ZeroDivisionError):
        return ""
    return f"{seconds // 60}:{seconds % 60:02}"


def _vector_size(name: str, source: InputFile, *, optional: bool) -> tuple[float, float] | None:
    inspection = source.svg or SvgInspection(refusal="nobody has inspected it")
    if not inspection.refusal:
        return inspection.width, inspection.height
    if optional:
        return None
    raise InputError(f"the input {name!r} is no picture that can be shown: {inspection.refusal}")


def _raster_size(name: str, source: InputFile) -> tuple[float, float]:
    """Returns the size of an image in CSS pixels; decodes all of it, so that a broken one raises InputError."""
    try:
        with Image.open(io.BytesIO(source.content)) as image:
            image.verify()
        with Image.open(io.BytesIO(source.content)) as image:
            width, height = image.size
            if image.format not in _RASTER_FORMATS:
                raise InputError(f"the input {name!r} is {image.format}; give PNG, JPEG, GIF, WebP or SVG")
            if Image.MIME[image.format] != source.media_type:
                raise InputError(f"the input {name!r} says {source.media_type} but is {Image.MIME[image.format]}")
            if width * height > _MAX_PIXELS:
                raise InputError(f"the input {name!r} has {width} × {height} pixels, which is too many")
            image.load()
            density = _density(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"the input {name!r} is a broken picture") from None
    return width * _SCREEN_DPI / density, height * _SCREEN_DPI / density


def _density(image: Image.Image) -> float:
    """Returns the dots per inch; without a stated density twice that of a screen, as the providers draw."""
    dpi = image.info.get("dpi")
    horizontal = float(dpi[0]) if isinstance(dpi, tuple) and dpi else 0.0
    return horizontal if horizontal > _SCREEN_DPI else 2.0 * _SCREEN_DPI
