"""The changes that can be made to a picture, each a small function of picture and parameters."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    from soma_providers.media.params import Params

MAX_SIDE = 8192
_FITS = ("contain", "cover", "stretch")
_POSITIONS = ("top", "bottom")


def resize(image: Image.Image, params: Params) -> Image.Image:
    """Make it `width` and/or `height`; with both, `fit` says how: contain, cover or stretch."""
    params.reject_unknown("op", "width", "height", "fit")
    width = params.integer("width", 0, low=0, high=MAX_SIDE)
    height = params.integer("height", 0, low=0, high=MAX_SIDE)
    if not width and not height:
        raise params.error("width", "is required, or height")
    if not (width and height):
        factor = width / image.width if width else height / image.height
        sides = (width or round(image.width * factor), height or round(image.height * factor))
        return image.resize(_bounded(params, *sides), Image.Resampling.LANCZOS)
    fit = params.choice("fit", _FITS, "contain")
    if fit == "cover":
        return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    if fit == "contain":
        return ImageOps.contain(image, (width, height), Image.Resampling.LANCZOS)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def crop(image: Image.Image, params: Params) -> Image.Image:
    """Keep the box at `left`, `top` of `width` by `height`, which must lie inside."""
    params.reject_unknown("op", "left", "top", "width", "height")
    left = params.integer("left", 0, low=0, high=image.width - 1)
    top = params.integer("top", 0, low=0, high=image.height - 1)
    width = params.integer("width", image.width - left, low=1, high=image.width - left)
    height = params.integer("height", image.height - top, low=1, high=image.height - top)
    return image.crop((left, top, left + width, top + height))


def thumbnail(image: Image.Image, params: Params) -> Image.Image:
    """Shrink it into a square of `max_px`; a smaller one stays."""
    params.reject_unknown("op", "max_px")
    side = params.integer("max_px", 256, low=16, high=2048)
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def rotate(image: Image.Image, params: Params) -> Image.Image:
    """Turn it clockwise by `degrees`: 90, 180 or 270."""
    params.reject_unknown("op", "degrees")
    turns = {"90": Image.Transpose.ROTATE_270, "180": Image.Transpose.ROTATE_180, "270": Image.Transpose.ROTATE_90}
    degrees = f"{params.integer('degrees', low=0, high=360)}"
    if degrees not in turns:
        raise params.error("degrees", "must be 90, 180 or 270")
    return image.transpose(turns[degrees])


def annotate(image: Image.Image, params: Params) -> Image.Image:
    """Write `text` on a band at the `position` top or bottom, outside of the picture."""
    params.reject_unknown("op", "text", "position", "color", "background")
    text = params.label("text", max_chars=500)
    size = max(14, min(48, image.width // 40))
    font = _font(size)
    per_line = max(8, int(image.width * 0.94 / font.getlength("n")))
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, per_line)]
    band = round(size * 1.4) * len(lines) + size
    ink, ground = _colour(params, "color", "#111827"), _colour(params, "background", "#ffffff")
    canvas = Image.new("RGBA", _bounded(params, image.width, image.height + band), ground)
    top = params.choice("position", _POSITIONS, "bottom") == "top"
    canvas.paste(image.convert("RGBA"), (0, band if top else 0))
    draw = ImageDraw.Draw(canvas)
    y = size // 2 if top else image.height + size // 2
    for line in lines:
        draw.text((image.width / 2, y), line, font=font, fill=ink, anchor="ma")
        y += round(size * 1.4)
    return canvas


OPERATIONS: dict[str, Callable[[Image.Image, Params], Image.Image]] = {
    "resize": resize,
    "crop": crop,
    "thumbnail": thumbnail,
    "rotate": rotate,
    "annotate": annotate,
}


def _bounded(params: Params, width: int, height: int) -> tuple[int, int]:
    if max(width, height) > MAX_SIDE:
        raise params.error("width", f"would make the picture {width} x {height} pixels, {MAX_SIDE} a side are allowed")
    return max(1, width), max(1, height)


def _colour(params: Params, name: str, default: str) -> tuple[int, ...]:
    try:
        found = ImageColor.getcolor(params.text(name, default, max_chars=32), "RGBA")
    except ValueError:
        raise params.error(name, "must be a colour such as #1f2937") from None
    return found if isinstance(found, tuple) else (found,)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
