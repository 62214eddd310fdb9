"""Measurements of pixels, independent of what they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.decoding import Pixels, Plane

FOREGROUND_LEVELS = 12
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_GRID_CELLS = 400
_PATCH_SIDE = 512
_MIN_EDGES = 200
_EDGE_SHARE = 0.001
_MIN_SIDE = 3

# Relative luminance of an sRGB level, WCAG 2.2.
_LEVELS = np.arange(256, dtype=np.float32) / 255
_LINEAR_LIMIT = 0.04045
_LINEAR = np.where(_LEVELS <= _LINEAR_LIMIT, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
_FLARE = 0.05


@dataclass(frozen=True)
class Foreground:
    """What differs from the background: its share of the picture, and the share of its bounding box."""

    share: float
    extent: float


class Luma:
    """The luma (ITU-R BT.601, 0 to 255) of a picture, by pixel and by cell of a grid."""

    def __init__(self, rgb: Pixels) -> None:
        self.plane: Plane = rgb @ _LUMA

    @cached_property
    def _cells(self) -> tuple[Plane, Plane]:
        """Lowest and highest luma of each cell of a coarse grid, so that no thin line is lost."""
        step = max(1, max(self.plane.shape) // _GRID_CELLS)
        low = high = self.plane[
            : max(1, self.plane.shape[0] // step * step), : max(1, self.plane.shape[1] // step * step)
        ]
        for axis in (0, 1):
            slices = [
                (slice(None),) * axis + (slice(start, None, step),) for start in range(min(step, low.shape[axis]))
            ]
            low = np.minimum.reduce([low[part] for part in slices])
            high = np.maximum.reduce([high[part] for part in slices])
        return low, high

    @cached_property
    def background(self) -> float:
        """The luma of the background: the median of a sample."""
        step = max(1, max(self.plane.shape) // _GRID_CELLS)
        return float(np.median(self.plane[::step, ::step]))

    @cached_property
    def foreground(self) -> Foreground:
        """What differs from the background by more than the noise of an encoder."""
        low, high = self._cells
        is_foreground = (self.background - low > FOREGROUND_LEVELS) | (high - self.background > FOREGROUND_LEVELS)
        if not is_foreground.any():
            return Foreground(0.0, 0.0)
        rows, columns = np.flatnonzero(is_foreground.any(axis=1)), np.flatnonzero(is_foreground.any(axis=0))
        box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        return Foreground(float(is_foreground.mean()), float(box / is_foreground.size))

    @cached_property
    def drawn_contrast(self) -> float:
        """WCAG 2.2 contrast, 1 to 21, between the background and what differs most from it."""
        low, high = self._cells
        darkest, lightest = float(np.percentile(low, 1)), float(np.percentile(high, 99))
        return max(_ratio(self.background, darkest), _ratio(lightest, self.background))

    @cached_property
    def rms_contrast(self) -> float:
        """Standard deviation of luma in [0, 1] (Peli, Contrast in complex images, JOSA A 1990)."""
        return float(self.plane.std() / 255)

    @cached_property
    def acutance(self) -> float:
        """The steepness of the steepest edges, relative to the range of luma: about 1 if sharp, below 0.2 if blurred.

        The measure is the response of the Laplacian, as in the variance of the Laplacian (Pech-Pacheco et al., Diatom
        autofocusing in brightfield microscopy, ICPR 2000), but only where it is strongest, so that a large empty
        background or a picture full of detail does not change the scale.
        """
        plane = self.plane
        if min(plane.shape) < _MIN_SIDE:
            return 0.0
        response = plane[:-2, 1:-1] + plane[2:, 1:-1]
        response += plane[1:-1, :-2]
        response += plane[1:-1, 2:]
        response -= 4 * plane[1:-1, 1:-1]
        strengths = np.abs(response, out=response).ravel()
        count = min(strengths.size, max(_MIN_EDGES, int(strengths.size * _EDGE_SHARE)))
        strongest = np.partition(strengths, strengths.size - count)[strengths.size - count :]
        value_range = float(plane.max() - plane.min())
        return float(strongest.mean()) / value_range if value_range >= 1 else 0.0

    @cached_property
    def coherence(self) -> float:
        """Correlation of neighbouring pixels in the middle of the picture: near 1 for pictures, near 0 for noise."""
        top, left = (max(0, (side - _PATCH_SIDE) // 2) for side in self.plane.shape)
        patch = self.plane[top : top + _PATCH_SIDE, left : left + _PATCH_SIDE]
        one, other = patch[:, :-1].ravel(), patch[:, 1:].ravel()
        if one.size < _MIN_SIDE or one.std() < 1 or other.std() < 1:
            return 1.0
        return float(np.corrcoef(one, other)[0, 1])


@dataclass(frozen=True)
class Letters:
    """The letters of a strip of text: WCAG 2.2 contrast with their background, 1 to 21, and height in pixels."""

    contrast: float
    height: int


def measure_letters(strip: Pixels) -> Letters:
    """Measures the letters of a strip with one line of text."""
    plane = strip @ _LUMA
    low, high = np.percentile(plane, [2, 98])
    background = float(np.median(plane))
    is_foreground = (np.abs(plane - background) > max(1.0, (high - low) / 3)).any(axis=1)
    return Letters(_ratio(float(high), float(low)), _longest_run(is_foreground.tolist()))


def _longest_run(marks: list[bool]) -> int:
    longest = run = 0
    for mark in marks:
        run = run + 1 if mark else 0
        longest = max(longest, run)
    return longest


def _ratio(lighter: float, darker: float) -> float:
    return float((_luminance(lighter) + _FLARE) / (_luminance(darker) + _FLARE))


def _luminance(level: float) -> float:
    return float(_LINEAR[min(255, max(0, round(level)))])
