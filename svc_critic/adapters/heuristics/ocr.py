"""Text recognition in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from svc_critic.adapters.heuristics.pixels import measure_letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession
    from rapidocr_onnxruntime import RapidOCR

    from svc_critic.adapters.heuristics.decoding import Picture, Pixels

DETECT_PIXELS = 960 * 540
MAX_UPSCALE = 2.0
LINE_HEIGHT = 48
MAX_BEGINNING_WIDTH = 12 * LINE_HEIGHT
FAST_WIDTH = 1_400
THOROUGH_WIDTH = 4_000
MIN_CONFIDENCE = 0.6
_MIN_LINE_WIDTH = 64
_DETECTOR = "ch_PP-OCRv4_det_infer.onnx"
_RECOGNISER = "ch_PP-OCRv4_rec_infer.onnx"


@dataclass(frozen=True)
class Line:
    """One recognized line. `confidence` is in [0, 1]; the box and the height of letters are in original pixels."""

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
    """The recognized text of a picture, and the number of lines that were detected in it."""

    lines: tuple[Line, ...]
    detected_lines: int

    @property
    def share(self) -> float:
        """The share of the detected lines that was recognized; 1 when there are none."""
        return len(self.lines) / self.detected_lines if self.detected_lines else 1.0

    @property
    def texts(self) -> list[str]:
        """The texts of at least `MIN_CONFIDENCE`."""
        return [line.text for line in self.lines if line.confidence >= MIN_CONFIDENCE]


class TextReader:
    """Detects lines in a scaled-down picture, and recognizes as many of them as a budget allows.

    Recognition takes time by the width of the lines (about 0.1 ms on two processors for each of their pixels at a
    height of 48), so the budget is a width: larger letters come first, and long lines are read from their beginning.
    The models are loaded with the first picture. One picture is read at a time: the recognizer has state, and uses
    `threads` processors anyway.
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
        # Otherwise every short label would be padded to 320 pixels, and cost as much as a long one.
        engine.text_rec.rec_image_shape = [3, LINE_HEIGHT, _MIN_LINE_WIDTH]
        return engine

    def read(self, picture: Picture, width: int = FAST_WIDTH) -> RecognizedText:
        """Returns the text of a picture. `width` is the budget, in pixels of lines that are 48 pixels high."""
        boxes = _detect_lines(self._engine, picture.rgb)
        if not boxes:
            return RecognizedText((), 0)
        # The recognition model expects the channels in the order of OpenCV.
        bgr = np.ascontiguousarray(picture.rgb[:, :, ::-1])
        strips = self._engine.get_crop_img_list(bgr, boxes)
        widths_read = _allocate_widths(
            [_reading_width(strip) for strip in strips], [strip.shape[0] for strip in strips], width
        )
        cropped = [strips[index][:, : _strip_width(strips[index], widths_read[index])] for index in widths_read]
        recognized, _ = self._engine.text_rec(cropped)
        lines = [
            _to_line(boxes[index], strips[index], (text, float(confidence)), picture.pixel_scale, read=part)
            for (index, part), (text, confidence) in zip(widths_read.items(), recognized, strict=True)
        ]
        return RecognizedText(tuple(lines), len(boxes))


@cache
def text_reader(threads: int) -> TextReader:
    """Returns the reader of this process, whose models are loaded once."""
    return TextReader(threads)


def _detect_lines(engine: RapidOCR, rgb: Pixels) -> list[NDArray[np.float32]]:
    """Returns the corners of each line, in reading order."""
    factor = min(MAX_UPSCALE, sqrt(DETECT_PIXELS / (rgb.shape[0] * rgb.shape[1])))
    size = (max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor)))
    resampling = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    reduced = np.asarray(Image.fromarray(rgb).resize(size, resampling))
    boxes, _ = engine.text_det(np.ascontiguousarray(reduced[:, :, ::-1]))
    if boxes is None or len(boxes) == 0:
        return []
    scale = np.array([rgb.shape[1] / size[0], rgb.shape[0] / size[1]], dtype=np.float32)
    return [np.asarray(box, dtype=np.float32) * scale for box in engine.sorted_boxes(boxes)]


def _session(model: str, threads: int) -> InferenceSession:
    """Returns a session for a model of RapidOCR, whose threads block while they wait.

    The threads of the default session spin, which takes two to three times as long when anything else runs.
    """
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    # Memory patterns pay off for inputs of one size; here every input has its own, and each pattern would stay cached.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = resources.files("rapidocr_onnxruntime") / "models" / model
    return InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _reading_width(strip: Pixels) -> int:
    """Returns the cost of a whole line: its width at `LINE_HEIGHT`."""
    return max(_MIN_LINE_WIDTH, -int(-strip.shape[1] * LINE_HEIGHT // max(1, strip.shape[0])))


def _strip_width(strip: Pixels, width: int) -> int:
    """Returns the width of a strip that corresponds to a width at `LINE_HEIGHT`."""
    return -int(-width * strip.shape[0] // LINE_HEIGHT)


def _allocate_widths(widths: Sequence[int], heights: Sequence[int], budget: int) -> dict[int, int]:
    """Returns how much to recognize of each line, by its index, in reading order.

    First the beginnings of all lines, by classes of height with the largest letters first, then in reading order; what
    is left of the budget goes to the rest of those that are longer.
    """
    classes = [round(np.log2(max(1, height)) * 2) for height in heights]
    by_size = sorted(range(len(widths)), key=lambda index: (-classes[index], index))
    widths_read: dict[int, int] = {}
    for index in by_size:
        beginning = min(widths[index], MAX_BEGINNING_WIDTH)
        if beginning <= budget:
            widths_read[index] = beginning
            budget -= beginning
    for index, part in widths_read.items():
        rest = min(widths[index] - part, budget)
        widths_read[index] = part + rest
        budget -= rest
    return dict(sorted(widths_read.items()))


def _to_line(
    box: NDArray[np.float32], strip: Pixels, recognized: tuple[str, float], pixel_scale: float, *, read: int
) -> Line:
    text, confidence = recognized
    if read < _reading_width(strip):
        text = text.rpartition(" ")[0] or text
    left, top = box.min(axis=0) * pixel_scale
    right, bottom = box.max(axis=0) * pixel_scale
    letters = measure_letters(strip[:, :, ::-1])
    return Line(
        text=text,
        confidence=confidence,
        left=float(left),
        top=float(top),
        right=float(right),
        bottom=float(bottom),
        height=letters.height * pixel_scale,
        contrast=letters.contrast,
    )
