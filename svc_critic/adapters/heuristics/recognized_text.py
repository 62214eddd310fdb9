"""Measurements of the text in a picture."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from svc_critic.domain.asset import AssetKind
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from svc_critic.adapters.heuristics.decoding import Picture
    from svc_critic.adapters.heuristics.ocr import Line, RecognizedText
    from svc_critic.adapters.heuristics.pixels import Luma
    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.scoring import Measurement

MIN_CONFIDENCE = 0.6
READABLE_HEIGHT_PX = 8
GOOD_HEIGHT_PX = 14
GOOD_CONTRAST = 4.5
MIN_LINES = 3
_EDGE_LEVELS = 60
_EDGE_SHARES = (0.04, 0.9)
_ALLOWED_REPEATS = 2
_MIN_REPEATED_LENGTH = 4


def measure_recognized_text(
    kind: AssetKind, picture: Picture, luma: Luma, recognized_text: RecognizedText, context: EvaluationContext
) -> Iterator[Measurement]:
    """Measures the text of a picture; returns nothing for an image with hardly any, since images need none."""
    lines = recognized_text.lines
    if kind is AssetKind.IMAGE and sum(line.confidence >= MIN_CONFIDENCE for line in lines) < MIN_LINES:
        return
    if not lines:
        if kind is AssetKind.DIAGRAM:
            message = "No text can be read in the diagram; draw it larger and label its parts."
            hint = {"min_width_px": picture.width * 2}
            yield measurement(
                Dimension.CLARITY, 0.3, "no text was found", FeedbackCode.TEXT_ILLEGIBLE, message, hint={**hint}
            )
        return
    yield _legibility(picture, lines)
    yield _contrast(lines)
    if kind is not AssetKind.IMAGE:
        yield _clipping(kind, picture, luma, lines)
    if kind is AssetKind.DIAGRAM:
        yield measure_repeated_labels([line.text for line in lines if line.confidence >= MIN_CONFIDENCE], context)


def _legibility(picture: Picture, lines: Sequence[Line]) -> Measurement:
    height = median(line.height for line in lines)
    confidence = sum(line.confidence >= MIN_CONFIDENCE for line in lines) / len(lines)
    score = min(linear_score(height, 3, READABLE_HEIGHT_PX + 2), linear_score(confidence, 0.2, 0.75))
    evidence = f"letters are {height:.0f} px high, {confidence:.0%} of the lines read with confidence"
    factor = max(1.5, GOOD_HEIGHT_PX / max(1.0, height))
    message = f"The text is hard to read ({evidence}); draw it larger."
    hint = {"min_width_px": round(picture.width * factor)}
    return measurement(Dimension.CLARITY, score, evidence, FeedbackCode.TEXT_ILLEGIBLE, message, hint={**hint})


def _contrast(lines: Sequence[Line]) -> Measurement:
    """WCAG 2.2 requires 3:1 for large text and 4.5:1 for small: below 3:1 nothing passes."""
    contrast = median(line.contrast for line in lines)
    score = linear_score(contrast, 1.5, 3.6)
    evidence = f"text contrast {contrast:.1f}:1"
    message = f"The text has a contrast of {contrast:.1f}:1 with its background; use {GOOD_CONTRAST}:1 or more."
    return measurement(
        Dimension.CLARITY, score, evidence, FeedbackCode.LOW_CONTRAST, message, hint={"min_contrast": GOOD_CONTRAST}
    )


def _clipping(kind: AssetKind, picture: Picture, luma: Luma, lines: Sequence[Line]) -> Measurement:
    clipped = [line.text for line in lines if _is_clipped(kind, picture, luma, line)]
    score = 1.0 if not clipped else linear_score(len(clipped), 5, 0) * 0.6
    evidence = f"{len(clipped)} of {len(lines)} lines of text are cut by the border"
    shown = ", ".join(repr(text) for text in clipped[:3])
    message = f"Text is cut off at the border ({shown}); leave a margin."
    return measurement(Dimension.CLARITY, score, evidence, FeedbackCode.CLIPPED_TEXT, message, hint={"margin_px": 16})


def _is_clipped(kind: AssetKind, picture: Picture, luma: Luma, line: Line) -> bool:
    """Whether letters, not a frame, touch the border; only the sides of a screenshot, which may end anywhere."""
    scale = picture.pixel_scale
    rows = slice(max(0, int(line.top / scale)), int(line.bottom / scale) + 1)
    columns = slice(max(0, int(line.left / scale)), int(line.right / scale) + 1)
    plane = luma.plane
    background = float(np.median(plane[rows, columns]))
    borders = [
        (line.left <= 2 * scale, plane[rows, 0]),
        (line.right >= picture.width - 2 * scale, plane[rows, -1]),
    ]
    if kind is not AssetKind.SCREENSHOT:
        borders += [
            (line.top <= 2 * scale, plane[0, columns]),
            (line.bottom >= picture.height - 2 * scale, plane[-1, columns]),
        ]
    low, high = _EDGE_SHARES
    return any(near and low < float((np.abs(edge - background) > _EDGE_LEVELS).mean()) < high for near, edge in borders)


def measure_repeated_labels(texts: Sequence[str], context: EvaluationContext) -> Measurement:
    """Measures labels drawn more than twice: sequence diagrams name each participant above and below."""
    counts = Counter(" ".join(words(text)) for text in texts)
    expected = Counter(" ".join(words(label)) for label in context.expected_labels)
    request = " ".join(words(context.request))
    extra: dict[str, int] = {}
    for label, count in counts.items():
        allowed = max(_ALLOWED_REPEATS, expected[label], request.count(label) if label else count)
        if len(label) >= _MIN_REPEATED_LENGTH and count > allowed:
            extra[label] = count
    share = sum(extra.values()) / max(1, len(texts))
    evidence = f"{len(extra)} labels are repeated without need"
    shown = ", ".join(repr(label) for label in list(extra)[:3])
    message = f"Labels are drawn more than once: {shown}; draw each part once."
    return measurement(
        Dimension.AESTHETIC,
        linear_score(share, 0.5, 0.1),
        evidence,
        FeedbackCode.DUPLICATE_LABEL,
        message,
        hint={"labels": [*extra]},
    )
