"""Measurements of pictures: images, diagrams, screenshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import UndecodableError, decode, is_svg
from svc_critic.adapters.heuristics.ocr import FAST_WIDTH, THOROUGH_WIDTH, RecognizedText, text_reader
from svc_critic.adapters.heuristics.pixels import Luma
from svc_critic.adapters.heuristics.recognized_text import measure_recognized_text, measure_repeated_labels
from svc_critic.adapters.heuristics.svg import measure_drawing, parse_svg, rasterize
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind
from svc_critic.domain.error_pages import find_error_text
from svc_critic.domain.relevance import measure_relevance
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score, threshold_score
from svc_critic.domain.scoring import FeedbackCode, Measurement, measurement, zero_scores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.adapters.heuristics.decoding import Picture
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.adapters.heuristics.ocr import TextReader
    from svc_critic.adapters.heuristics.svg import Drawing
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext

MIN_FOREGROUND = 0.0008
MIN_RMS_CONTRAST = 0.012
_MIN_SIDE_PX = {AssetKind.DIAGRAM: 320, AssetKind.IMAGE: 384, AssetKind.SCREENSHOT: 480}
_MAX_ASPECT = {AssetKind.DIAGRAM: 12.0, AssetKind.IMAGE: 6.0, AssetKind.SCREENSHOT: 8.0}
_MIN_EXTENT = {AssetKind.DIAGRAM: 0.1, AssetKind.IMAGE: 0.05, AssetKind.SCREENSHOT: 0.03}
_MIN_WORDS = 3


class PictureHeuristics:
    """Measures pictures of one kind: their technical quality and the text in them, not what else they show."""

    def __init__(self, kind: AssetKind, measurement_pool: MeasurementPool, threads: int) -> None:
        self.name = f"heuristics/{kind.value}"
        self.kinds = frozenset({kind})
        self._kind = kind
        self._measurement_pool = measurement_pool
        self._threads = threads

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures a picture in a child process."""
        return EvaluatorResult(
            await self._measurement_pool.run(tenant_id, _measure, self._kind, self._threads, asset, context)
        )


def _measure(
    kind: AssetKind, threads: int, asset: EvaluatedAsset, context: EvaluationContext
) -> tuple[Measurement, ...]:
    return PictureMeasurer(kind, text_reader(threads)).measure(asset, context)


class PictureMeasurer:
    """The measurements of a picture of one kind."""

    def __init__(self, kind: AssetKind, reader: TextReader) -> None:
        self._kind = kind
        self._reader = reader

    def measure(self, asset: EvaluatedAsset, context: EvaluationContext) -> tuple[Measurement, ...]:
        """Returns all measurements of an asset."""
        try:
            if is_svg(asset.content, asset.media_type):
                return tuple(self._vector(asset.content, context))
            return tuple(self._raster(decode(asset.content), context))
        except UndecodableError as error:
            return zero_scores(FeedbackCode.UNDECODABLE, str(error), f"It cannot be opened: {error}.")

    def _vector(self, content: bytes, context: EvaluationContext) -> Iterator[Measurement]:
        drawing = parse_svg(content)
        picture = None if drawing.is_empty else rasterize(content, drawing)
        if drawing.is_empty or (picture is not None and _is_blank(self._kind, Luma(picture.rgb))):
            yield from _blank()
            return
        yield Measurement(Dimension.CLARITY, 1.0, "vector drawing, sharp at any size")
        yield from measure_drawing(drawing, context)
        if picture is not None:
            yield from self._appearance(picture, Luma(picture.rgb), sharp=True)
        yield from self._words(drawing, picture, context)

    def _words(self, drawing: Drawing, picture: Picture | None, context: EvaluationContext) -> Iterator[Measurement]:
        """Measures the texts of the drawing; when letters are drawn as shapes, they are recognized in the pixels."""
        if drawing.texts or picture is None:
            yield measure_repeated_labels(drawing.texts, context)
            yield from measure_relevance(drawing.texts, context, "the drawing")
        else:
            yield from self._text(picture, Luma(picture.rgb), context)

    def _raster(self, picture: Picture, context: EvaluationContext) -> Iterator[Measurement]:
        luma = Luma(picture.rgb)
        if _is_blank(self._kind, luma):
            yield from _blank()
            return
        yield _resolution(self._kind, picture, context)
        yield from self._appearance(picture, luma, sharp=False)
        yield from self._text(picture, luma, context)

    def _appearance(self, picture: Picture, luma: Luma, *, sharp: bool) -> Iterator[Measurement]:
        if not sharp:
            yield _sharpness(luma)
        yield _visibility(self._kind, luma)
        yield _coherence(luma)
        yield _proportions(self._kind, picture)
        yield _extent(self._kind, luma)

    def _text(self, picture: Picture, luma: Luma, context: EvaluationContext) -> Iterator[Measurement]:
        recognized_text = self._reader.read(picture, THOROUGH_WIDTH if context.expected_labels else FAST_WIDTH)
        yield from measure_recognized_text(self._kind, picture, luma, recognized_text, context)
        if self._kind is AssetKind.SCREENSHOT:
            yield from _error_page(recognized_text)
        if (
            context.expected_labels
            or self._kind is not AssetKind.IMAGE
            or len(" ".join(recognized_text.texts).split()) >= _MIN_WORDS
        ):
            yield from measure_relevance(
                recognized_text.texts, context, f"the {self._kind.value}", read_share=recognized_text.share
            )


def _is_blank(kind: AssetKind, luma: Luma) -> bool:
    if kind is AssetKind.IMAGE:
        return luma.rms_contrast < MIN_RMS_CONTRAST and luma.foreground.share < MIN_FOREGROUND * 10
    return luma.foreground.share < MIN_FOREGROUND


def _blank() -> tuple[Measurement, ...]:
    return zero_scores(FeedbackCode.BLANK, "one even colour", "The picture is blank; draw what was asked for.")


def _resolution(kind: AssetKind, picture: Picture, context: EvaluationContext) -> Measurement:
    """Measures the width against the requested one, else the longer side: a diagram may be narrow and tall."""
    min_side = _MIN_SIDE_PX[kind]
    min_width = context.min_width_px or max(1, round(picture.width * min_side / picture.longest))
    recommended = context.min_width_px or 2 * min_width
    evidence = f"{picture.width} × {picture.height} px, {min_width} px wide or more is needed"
    message = f"The picture is {picture.width} px wide; make it at least {recommended} px wide."
    return measurement(
        Dimension.CLARITY,
        threshold_score(picture.width, min_width),
        evidence,
        FeedbackCode.RESOLUTION_TOO_LOW,
        message,
        hint={"min_width_px": recommended},
    )


def _sharpness(luma: Luma) -> Measurement:
    evidence = f"edge sharpness {luma.acutance:.2f} (Laplacian over tonal range)"
    message = "The picture is blurred; draw it at its final size instead of enlarging it."
    return measurement(
        Dimension.CLARITY, linear_score(luma.acutance, 0.1, 0.4), evidence, FeedbackCode.BLURRED, message
    )


def _visibility(kind: AssetKind, luma: Luma) -> Measurement:
    if kind is AssetKind.IMAGE:
        evidence = f"tonal contrast {luma.rms_contrast:.2f} (standard deviation)"
        score = linear_score(luma.rms_contrast, 0.01, 0.06)
    else:
        evidence = f"contrast with the background {luma.drawn_contrast:.1f}:1"
        score = linear_score(luma.drawn_contrast, 1.2, 3.2)
    message = "The picture is pale: what it shows hardly stands out; use darker or lighter colours."
    return measurement(
        Dimension.CLARITY, score, evidence, FeedbackCode.LOW_CONTRAST, message, hint={"min_contrast": 4.5}
    )


def _coherence(luma: Luma) -> Measurement:
    evidence = f"neighbouring pixels agree by {luma.coherence:.2f}"
    message = "The picture is noise; produce it again."
    return measurement(
        Dimension.AESTHETIC, linear_score(luma.coherence, 0.1, 0.5), evidence, FeedbackCode.NOISE, message
    )


def _proportions(kind: AssetKind, picture: Picture) -> Measurement:
    aspect = picture.longest / max(1, min(picture.width, picture.height))
    evidence = f"sides 1:{aspect:.1f}"
    message = f"The picture's sides are 1:{aspect:.1f}; lay it out less stretched."
    max_aspect = _MAX_ASPECT[kind]
    return measurement(
        Dimension.AESTHETIC,
        linear_score(aspect, max_aspect * 1.5, max_aspect * 0.75),
        evidence,
        FeedbackCode.BAD_PROPORTIONS,
        message,
    )


def _extent(kind: AssetKind, luma: Luma) -> Measurement:
    evidence = f"content takes {luma.foreground.extent:.0%} of the area"
    message = "Most of the picture is empty; crop it or draw the content larger."
    min_extent = _MIN_EXTENT[kind]
    return measurement(
        Dimension.AESTHETIC,
        linear_score(luma.foreground.extent, 0.0, min_extent),
        evidence,
        FeedbackCode.MOSTLY_EMPTY,
        message,
    )


def _error_page(recognized_text: RecognizedText) -> Iterator[Measurement]:
    sign = find_error_text(recognized_text.texts)
    if sign:
        message = f"The page shows an error ({sign!r}); capture it when it works, or at another address."
        yield measurement(Dimension.RELEVANCE, 0.0, f"the page says {sign!r}", FeedbackCode.ERROR_PAGE, message)
