"""Judging pictures: images, diagrams, screenshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import Undecodable, decode, is_svg
from svc_critic.adapters.heuristics.drawing import examine_drawing, paint, read_drawing
from svc_critic.adapters.heuristics.ocr import FAST_WIDTH, THOROUGH_WIDTH, RecognizedText, reader_of
from svc_critic.adapters.heuristics.pixels import Luma
from svc_critic.adapters.heuristics.recognized_text import examine_recognized_text, repeats
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import Kind
from svc_critic.domain.error_pages import error_sign
from svc_critic.domain.judgement import Code, Measurement, measurement, zero_scores
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import at_least, ramp
from svc_critic.domain.topic import relevance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.adapters.heuristics.decoding import Picture
    from svc_critic.adapters.heuristics.drawing import Drawing
    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.adapters.heuristics.ocr import Reader
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext

LEAST_INK = 0.0008
LEAST_RMS_CONTRAST = 0.012
_SMALLEST_PX = {Kind.DIAGRAM: 320, Kind.IMAGE: 384, Kind.SCREENSHOT: 480}
_WIDEST = {Kind.DIAGRAM: 12.0, Kind.IMAGE: 6.0, Kind.SCREENSHOT: 8.0}
_LEAST_EXTENT = {Kind.DIAGRAM: 0.1, Kind.IMAGE: 0.05, Kind.SCREENSHOT: 0.03}
_FEWEST_WORDS = 3


class PictureHeuristics:
    """Measures pictures of one kind. It sees how a picture is made, not what it shows, except for the words in it."""

    def __init__(self, kind: Kind, measurement_pool: MeasurementPool, threads: int) -> None:
        self.name = f"heuristics/{kind.value}"
        self.kinds = frozenset({kind})
        self._kind = kind
        self._measurement_pool = measurement_pool
        self._threads = threads

    async def examine(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures, in a child process."""
        return EvaluatorResult(
            await self._measurement_pool.run(tenant_id, _examine, self._kind, self._threads, asset, context)
        )


def _examine(kind: Kind, threads: int, asset: EvaluatedAsset, context: EvaluationContext) -> tuple[Measurement, ...]:
    return PictureMeasures(kind, reader_of(threads)).measure(asset, context)


class PictureMeasures:
    """The measurements of a picture of one kind."""

    def __init__(self, kind: Kind, reader: Reader) -> None:
        self._kind = kind
        self._reader = reader

    def measure(self, asset: EvaluatedAsset, context: EvaluationContext) -> tuple[Measurement, ...]:
        """All that can be measured of the bytes."""
        try:
            if is_svg(asset.content, asset.media_type):
                return tuple(self._vector(asset.content, context))
            return tuple(self._raster(decode(asset.content), context))
        except Undecodable as error:
            return zero_scores(Code.UNDECODABLE, str(error), f"It cannot be opened: {error}.")

    def _vector(self, content: bytes, context: EvaluationContext) -> Iterator[Measurement]:
        drawing = read_drawing(content)
        picture = None if drawing.empty else paint(content, drawing)
        if drawing.empty or (picture is not None and _is_blank(self._kind, Luma(picture.rgb))):
            yield from _blank()
            return
        yield Measurement(Dimension.CLARITY, 1.0, "vector drawing, sharp at any size")
        yield from examine_drawing(drawing, context)
        if picture is not None:
            yield from self._look(picture, Luma(picture.rgb), sharp=True)
        yield from self._words(drawing, picture, context)

    def _words(self, drawing: Drawing, picture: Picture | None, context: EvaluationContext) -> Iterator[Measurement]:
        """The drawing's own text; where letters are drawn as shapes, they are read from the pixels."""
        if drawing.texts or picture is None:
            yield repeats(drawing.texts, context)
            yield from relevance(drawing.texts, context, "the drawing")
        else:
            yield from self._text(picture, Luma(picture.rgb), context)

    def _raster(self, picture: Picture, context: EvaluationContext) -> Iterator[Measurement]:
        luma = Luma(picture.rgb)
        if _is_blank(self._kind, luma):
            yield from _blank()
            return
        yield _resolution(self._kind, picture, context)
        yield from self._look(picture, luma, sharp=False)
        yield from self._text(picture, luma, context)

    def _look(self, picture: Picture, luma: Luma, *, sharp: bool) -> Iterator[Measurement]:
        if not sharp:
            yield _sharpness(luma)
        yield _visibility(self._kind, luma)
        yield _coherence(luma)
        yield _proportions(self._kind, picture)
        yield _extent(self._kind, luma)

    def _text(self, picture: Picture, luma: Luma, context: EvaluationContext) -> Iterator[Measurement]:
        recognized_text = self._reader.read(picture, THOROUGH_WIDTH if context.expected_labels else FAST_WIDTH)
        yield from examine_recognized_text(self._kind, picture, luma, recognized_text, context)
        if self._kind is Kind.SCREENSHOT:
            yield from _error_page(recognized_text)
        if (
            context.expected_labels
            or self._kind is not Kind.IMAGE
            or len(" ".join(recognized_text.texts).split()) >= _FEWEST_WORDS
        ):
            yield from relevance(recognized_text.texts, context, f"the {self._kind.value}", read=recognized_text.share)


def _is_blank(kind: Kind, luma: Luma) -> bool:
    if kind is Kind.IMAGE:
        return luma.rms_contrast < LEAST_RMS_CONTRAST and luma.ink.share < LEAST_INK * 10
    return luma.ink.share < LEAST_INK


def _blank() -> tuple[Measurement, ...]:
    return zero_scores(Code.BLANK, "one even colour", "The picture is blank; draw what was asked for.")


def _resolution(kind: Kind, picture: Picture, context: EvaluationContext) -> Measurement:
    """The width that was asked for, else a smallest longer side: a diagram may well be narrow and tall."""
    smallest = _SMALLEST_PX[kind]
    needed = context.min_width_px or max(1, round(picture.width * smallest / picture.longest))
    better = context.min_width_px or 2 * needed
    evidence = f"{picture.width} × {picture.height} px, {needed} px wide or more is needed"
    message = f"The picture is {picture.width} px wide; make it at least {better} px wide."
    return measurement(
        Dimension.CLARITY,
        at_least(picture.width, needed),
        evidence,
        Code.RESOLUTION_TOO_LOW,
        message,
        hint={"min_width_px": better},
    )


def _sharpness(luma: Luma) -> Measurement:
    evidence = f"edge sharpness {luma.acutance:.2f} (Laplacian over tonal range)"
    message = "The picture is blurred; draw it at its final size instead of enlarging it."
    return measurement(Dimension.CLARITY, ramp(luma.acutance, 0.1, 0.4), evidence, Code.BLURRED, message)


def _visibility(kind: Kind, luma: Luma) -> Measurement:
    if kind is Kind.IMAGE:
        evidence = f"tonal contrast {luma.rms_contrast:.2f} (standard deviation)"
        score = ramp(luma.rms_contrast, 0.01, 0.06)
    else:
        evidence = f"contrast with the background {luma.drawn_contrast:.1f}:1"
        score = ramp(luma.drawn_contrast, 1.2, 3.2)
    message = "The picture is pale: what it shows hardly stands out; use darker or lighter luma."
    return measurement(Dimension.CLARITY, score, evidence, Code.LOW_CONTRAST, message, hint={"min_contrast": 4.5})


def _coherence(luma: Luma) -> Measurement:
    evidence = f"neighbouring pixels agree by {luma.coherence:.2f}"
    message = "The picture is noise; produce it again."
    return measurement(Dimension.AESTHETIC, ramp(luma.coherence, 0.1, 0.5), evidence, Code.NOISE, message)


def _proportions(kind: Kind, picture: Picture) -> Measurement:
    aspect = picture.longest / max(1, min(picture.width, picture.height))
    evidence = f"sides 1:{aspect:.1f}"
    message = f"The picture's sides are 1:{aspect:.1f}; lay it out less stretched."
    widest = _WIDEST[kind]
    return measurement(
        Dimension.AESTHETIC, ramp(aspect, widest * 1.5, widest * 0.75), evidence, Code.BAD_PROPORTIONS, message
    )


def _extent(kind: Kind, luma: Luma) -> Measurement:
    evidence = f"content takes {luma.ink.extent:.0%} of the area"
    message = "Most of the picture is empty; crop it or draw the content larger."
    least = _LEAST_EXTENT[kind]
    return measurement(Dimension.AESTHETIC, ramp(luma.ink.extent, 0.0, least), evidence, Code.MOSTLY_EMPTY, message)


def _error_page(recognized_text: RecognizedText) -> Iterator[Measurement]:
    sign = error_sign(recognized_text.texts)
    if sign:
        message = f"The page shows an error ({sign!r}); capture it when it works, or at another address."
        yield measurement(Dimension.RELEVANCE, 0.0, f"the page says {sign!r}", Code.ERROR_PAGE, message)
