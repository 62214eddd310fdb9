"""Reading text in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from svc_critic.adapters.heuristics.pixels import stroke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from rapidocr_onnxruntime import RapidOCR

    from svc_critic.adapters.heuristics.decoding import Picture, Pixels

DETECT_PIXELS = 960 * 540
MOST_UPSCALE = 2.0
LINE_HEIGHT = 48
LONGEST_BEGINNING = 12 * LINE_HEIGHT
FAST_WIDTH = 1_400
THOROUGH_WIDTH = 4_000
MIN_CONFIDENCE = 0.6
_SHORTEST_LINE = 64
_DETECTOR = "ch_PP-OCRv4_det_infer.onnx"
_RECOGNISER = "ch_PP-OCRv4_rec_infer.onnx"


@dataclass(frozen=True)
class Line:
    """One line of text as it was read. `confidence` is in [0, 1], the box and the height of letters in true pixels."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float
    height: float
    contrast: float


@dataclass(frozen=True)
class RecognizedText:
    """The text of a picture: what was read, out of how many lines that there are."""

    lines: tuple[Line, ...]
    found: int

    @property
    def share(self) -> float:
        """Part of the lines that was read; 1 when there are none."""
        return len(self.lines) / self.found if self.found else 1.0

    @property
    def texts(self) -> list[str]:
        """The lines that the reader is confident of."""
        return [line.text for line in self.lines if line.confidence >= MIN_CONFIDENCE]


class Reader:
    """Finds lines in a reduced picture and reads as many of them as there is time for.

    Reading costs time by the width of the lines (about 0.1 ms on two processors for each of their pixels at a height
    of 48), so it is bounded by width: larger letters first, long lines only from their beginning. The models are
    loaded with the first picture. One picture is read at a time: the recogniser keeps state, and takes `threads`
    processors anyway.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @cached_property
    def _engine(self) -> RapidOCR:
        from rapidocr_onnxruntime import RapidOCR

        engine = RapidOCR(intra_op_num_threads=self._threads, inter_op_num_threads=1)
        engine.text_det.limit_type = "max"
        engine.text_det.infer.session = _session(_DETECTOR, self._threads)
        engine.text_rec.session.session = _session(_RECOGNISER, self._threads)
        # Else every short label would be widened to 320 pixels, and cost as much as a long one.
        engine.text_rec.rec_image_shape = [3, LINE_HEIGHT, _SHORTEST_LINE]
        return engine

    def read(self, picture: Picture, width: int = FAST_WIDTH) -> RecognizedText:
        """The lines of a picture; `width` bounds how much is read, in pixels of lines 48 pixels high."""
        boxes = _find(self._engine, picture.rgb)
        if not boxes:
            return RecognizedText((), 0)
        # The recogniser was trained on pictures in the order of OpenCV.
        bgr = np.ascontiguousarray(picture.rgb[:, :, ::-1])
        strips = self._engine.get_crop_img_list(bgr, boxes)
        spent = _spend([_width(strip) for strip in strips], [strip.shape[0] for strip in strips], width)
        cut = [strips[place][:, : _pixels(strips[place], spent[place])] for place in spent]
        recognized, _ = self._engine.text_rec(cut)
        lines = [
            _line(boxes[place], strips[place], (text, float(confidence)), picture.magnification, read=part)
            for (place, part), (text, confidence) in zip(spent.items(), recognized, strict=True)
        ]
        return RecognizedText(tuple(lines), len(boxes))


@cache
def reader_of(threads: int) -> Reader:
    """The one reader of this process."""
    return Reader(threads)


def _find(engine: RapidOCR, rgb: Pixels) -> list[NDArray[np.float32]]:
    """Corners of each line, in reading order."""
    factor = min(MOST_UPSCALE, sqrt(DETECT_PIXELS / (rgb.shape[0] * rgb.shape[1])))
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    how = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    reduced = np.asarray(Image.fromarray(rgb).resize(size, how))
    boxes, _ = engine.text_det(np.ascontiguousarray(reduced[:, :, ::-1]))
    if boxes is None or len(boxes) == 0:
        return []
    scale = np.array([rgb.shape[1] / size[0], rgb.shape[0] / size[1]], dtype=np.float32)
    return [np.asarray(box, dtype=np.float32) * scale for box in engine.sorted_boxes(boxes)]


def _session(model: str, threads: int) -> InferenceSession:
    """A model of RapidOCR, run by threads that sleep while they wait.

    Those that RapidOCR makes spin, which costs two to three times as long as soon as anything else runs on the machine.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    # Patterns pay off for inputs of one size; here every picture and line has its own, and each pattern stays.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = resources.files("rapidocr_onnxruntime") / "models" / model
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _width(strip: Pixels) -> int:
    """What a line costs to read in full."""
    return max(_SHORTEST_LINE, -int(-strip.shape[1] * LINE_HEIGHT // max(1, strip.shape[0])))


def _pixels(strip: Pixels, width: int) -> int:
    """How much of a strip makes up a width at reading height."""
    return -int(-width * strip.shape[0] // LINE_HEIGHT)


def _spend(widths: Sequence[int], heights: Sequence[int], budget: int) -> dict[int, int]:
    """How much to read of which line, in reading order.

    By classes of height, the largest letters first, then in reading order: first the beginnings of all, then, with what
    is left, the rest of those that were cut.
    """
    classes = [round(np.log2(max(1, height)) * 2) for height in heights]
    order = sorted(range(len(widths)), key=lambda place: (-classes[place], place))
    spent: dict[int, int] = {}
    for place in order:
        beginning = min(widths[place], LONGEST_BEGINNING)
        if beginning <= budget:
            spent[place] = beginning
            budget -= beginning
    for place, part in spent.items():
        more = min(widths[place] - part, budget)
        spent[place] = part + more
        budget -= more
    return dict(sorted(spent.items()))


def _line(
    box: NDArray[np.float32], strip: Pixels, recognized: tuple[str, float], magnification: float, *, read: int
) -> Line:
    text, confidence = recognized
    if read < _width(strip):
        text = text.rpartition(" ")[0] or text
    left, top = box.min(axis=0) * magnification
    right, bottom = box.max(axis=0) * magnification
    letters = stroke(strip[:, :, ::-1])
    return Line(
        text=text,
        confidence=confidence,
        left=float(left),
        top=float(top),
        right=float(right),
        bottom=float(bottom),
        height=letters.height * magnification,
        contrast=letters.contrast,
    )
