"""Decoding of pictures."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]
    Plane: TypeAlias = NDArray[np.float32]

MAX_PIXELS = 120_000_000
MAX_SIDE_PX = 2_560
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HEAD_BYTES = 4_096


class UndecodableError(Exception):
    """The bytes cannot be decoded; the message says why, for people."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture: pixels (height, width, RGB), scaled down to `MAX_SIDE_PX`, and its original size."""

    rgb: Pixels
    width: int
    height: int

    @property
    def longest(self) -> int:
        """The longer side, in pixels."""
        return max(self.width, self.height)

    @property
    def pixel_scale(self) -> float:
        """Original pixels for each pixel of `rgb`."""
        return float(self.width / self.rgb.shape[1])


def is_svg(content: bytes, media_type: str) -> bool:
    """Whether the bytes are an SVG."""
    return media_type.startswith("image/svg") or bool(_SVG.search(content[:_HEAD_BYTES]))


def decode(content: bytes) -> Picture:
    """Returns the first frame, upright, on white; raises UndecodableError with the reason."""
    try:
        with warnings.catch_warnings():
            # `MAX_PIXELS` rejects large pictures, so the warning of the library is not needed.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as opened:
                return _load(opened)
    except UndecodableError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError) as error:
        raise UndecodableError("the picture does not decode: it is damaged, cut off or of another format") from error
    except Image.DecompressionBombError as error:
        raise UndecodableError(f"the picture has more than {MAX_PIXELS:,} pixels") from error


def _load(opened: Image.Image) -> Picture:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise UndecodableError(f"the picture has {width * height:,} pixels, more than {MAX_PIXELS:,}")
    upright = ImageOps.exif_transpose(opened)
    width, height = upright.size
    if max(upright.size) > MAX_SIDE_PX:
        upright.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return Picture(np.asarray(_on_white(upright), dtype=np.uint8), width, height)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        values = np.asarray(image, dtype=np.float32)
        value_range = float(values.max() - values.min()) or 1.0
        return Image.fromarray(((values - values.min()) * (255 / value_range)).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
