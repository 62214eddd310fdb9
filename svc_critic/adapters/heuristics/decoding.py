"""From bytes to pixels."""

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

MOST_PIXELS = 120_000_000
LONGEST_SIDE = 2_560
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HEAD = 4_096


class Undecodable(Exception):  # noqa: N818 - it is a finding about the bytes, not an error of the program
    """The bytes are not what they are said to be; the text says how, for people."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture: pixels (height, width, RGB), shrunk where it was very large, and its true size."""

    rgb: Pixels
    width: int
    height: int

    @property
    def longest(self) -> int:
        """The longer side, in pixels."""
        return max(self.width, self.height)

    @property
    def magnification(self) -> float:
        """True pixels for each one of `rgb`."""
        return float(self.width / self.rgb.shape[1])


def is_svg(content: bytes, media_type: str) -> bool:
    """Whether the bytes are a vector picture."""
    return media_type.startswith("image/svg") or bool(_SVG.search(content[:_HEAD]))


def decode(content: bytes) -> Picture:
    """The first frame, upright, on white; Undecodable with the reason."""
    try:
        with warnings.catch_warnings():
            # Large pictures are refused by a limit of our own; nobody reads the library's warning.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as opened:
                return _load(opened)
    except Undecodable:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError) as error:
        raise Undecodable("the picture does not decode: it is damaged, cut off or of another format") from error
    except Image.DecompressionBombError as error:
        raise Undecodable(f"the picture has more than {MOST_PIXELS:,} pixels") from error


def _load(opened: Image.Image) -> Picture:
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise Undecodable(f"the picture has {width * height:,} pixels, more than {MOST_PIXELS:,}")
    turned = ImageOps.exif_transpose(opened)
    width, height = turned.size
    if max(turned.size) > LONGEST_SIDE:
        turned.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return Picture(np.asarray(_on_white(turned), dtype=np.uint8), width, height)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        values = np.asarray(image, dtype=np.float32)
        spread = float(values.max() - values.min()) or 1.0
        return Image.fromarray(((values - values.min()) * (255 / spread)).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
