"""Judging pictures: images, diagrams, screenshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_critic.adapters.heuristics.decoding import Undecodable, decode, is_svg
from svc_critic.adapters.heuristics.drawing import examine_drawing, paint, read_drawing
from svc_critic.adapters.heuristics.lettering import examine_lettering, repeats
from svc_critic.adapters.heuristics.pixels import Tones
from svc_critic.adapters.heuristics.reading import FAST_WIDTH, THOROUGH_WIDTH, Lettering, reader_of
from svc_critic.domain.error_pages import error_sign
from svc_critic.domain.judgement import Code, Facet, facet, hopeless
from svc_critic.domain.ports import Examination
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import at_least, ramp
from svc_critic.domain.specimen import Kind
from svc_critic.domain.topic import relevance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.adapters.heuristics.decoding import Picture
    from svc_critic.adapters.heuristics.drawing import Drawing
    from svc_critic.adapters.heuristics.measuring import Measuring
    from svc_critic.adapters.heuristics.reading import Reader
    from svc_critic.domain.specimen import Brief, Specimen

LEAST_INK = 0.0008
LEAST_RMS_CONTRAST = 0.012
_SMALLEST_PX = {Kind.DIAGRAM: 320, Kind.IMAGE: 384, Kind.SCREENSHOT: 480}
_WIDEST = {Kind.DIAGRAM: 12.0, Kind.IMAGE: 6.0, Kind.SCREENSHOT: 8.0}
_LEAST_EXTENT = {Kind.DIAGRAM: 0.1, Kind.IMAGE: 0.05, Kind.SCREENSHOT: 0.03}
_FEWEST_WORDS = 3


class PictureHeuristics:
    """Measures pictures of one kind. It sees how a picture is made, not what it shows, except for the words in it."""

    def __init__(self, kind: Kind, measuring: Measuring, threads: int) -> None:
        self.name = f"heuristics/{kind.value}"
        self.kinds = frozenset({kind})
        self._kind = kind
        self._measuring = measuring
        self._threads = threads

    async def examine(self, tenant_id: str, specimen: Specimen, brief: Brief) -> Examination:
        """Measures, in a child process."""
        return Examination(await self._measuring.run(tenant_id, _examine, self._kind, self._threads, specimen, brief))


def _examine(kind: Kind, threads: int, specimen: Specimen, brief: Brief) -> tuple[Facet, ...]:
    return PictureMeasures(kind, reader_of(threads)).measure(specimen, brief)


class PictureMeasures:
    """The facets of a picture of one kind."""

    def __init__(self, kind: Kind, reader: Reader) -> None:
        self._kind = kind
        self._reader = reader

    def measure(self, specimen: Specimen, brief: Brief) -> tuple[Facet, ...]:
        """All that can be measured of the bytes."""
        try:
            if is_svg(specimen.content, specimen.media_type):
                return tuple(self._vector(specimen.content, brief))
            return tuple(self._raster(decode(specimen.content), brief))
        except Undecodable as error:
            return hopeless(Code.UNDECODABLE, str(error), f"It cannot be opened: {error}.")

    def _vector(self, content: bytes, brief: Brief) -> Iterator[Facet]:
        drawing = read_drawing(content)
        picture = None if drawing.empty else paint(content, drawing)
        if drawing.empty or (picture is not None and _is_blank(self._kind, Tones(picture.rgb))):
            yield from _blank()
            return
        yield Facet(Dimension.CLARITY, 1.0, "vector drawing, sharp at any size")
        yield from examine_drawing(drawing, brief)
        if picture is not None:
            yield from self._look(picture, Tones(picture.rgb), sharp=True)
        yield from self._words(drawing, picture, brief)

    def _words(self, drawing: Drawing, picture: Picture | None, brief: Brief) -> Iterator[Facet]:
        """The drawing's own text; where letters are drawn as shapes, they are read from the pixels."""
        if drawing.texts or picture is None:
            yield repeats(drawing.texts, brief)
            yield from relevance(drawing.texts, brief, "the drawing")
        else:
            yield from self._text(picture, Tones(picture.rgb), brief)

    def _raster(self, picture: Picture, brief: Brief) -> Iterator[Facet]:
        tones = Tones(picture.rgb)
        if _is_blank(self._kind, tones):
            yield from _blank()
            return
        yield _resolution(self._kind, picture, brief)
        yield from self._look(picture, tones, sharp=False)
        yield from self._text(picture, tones, brief)

    def _look(self, picture: Picture, tones: Tones, *, sharp: bool) -> Iterator[Facet]:
        if not sharp:
            yield _sharpness(tones)
        yield _visibility(self._kind, tones)
        yield _coherence(tones)
        yield _proportions(self._kind, picture)
        yield _extent(self._kind, tones)

    def _text(self, picture: Picture, tones: Tones, brief: Brief) -> Iterator[Facet]:
        lettering = self._reader.read(picture, THOROUGH_WIDTH if brief.expected_labels else FAST_WIDTH)
        yield from examine_lettering(self._kind, picture, tones, lettering, brief)
        if self._kind is Kind.SCREENSHOT:
            yield from _error_page(lettering)
        if (
            brief.expected_labels
            or self._kind is not Kind.IMAGE
            or len(" ".join(lettering.texts).split()) >= _FEWEST_WORDS
        ):
            yield from relevance(lettering.texts, brief, f"the {self._kind.value}", read=lettering.share)


def _is_blank(kind: Kind, tones: Tones) -> bool:
    if kind is Kind.IMAGE:
        return tones.rms_contrast < LEAST_RMS_CONTRAST and tones.ink.share < LEAST_INK * 10
    return tones.ink.share < LEAST_INK


def _blank() -> tuple[Facet, ...]:
    return hopeless(Code.BLANK, "one even colour", "The picture is blank; draw what was asked for.")


def _resolution(kind: Kind, picture: Picture, brief: Brief) -> Facet:
    """The width that was asked for, else a smallest longer side: a diagram may well be narrow and tall."""
    smallest = _SMALLEST_PX[kind]
    needed = brief.min_width_px or max(1, round(picture.width * smallest / picture.longest))
    better = brief.min_width_px or 2 * needed
    evidence = f"{picture.width} × {picture.height} px, {needed} px wide or more is needed"
    message = f"The picture is {picture.width} px wide; make it at least {better} px wide."
    return facet(
        Dimension.CLARITY,
        at_least(picture.width, needed),
        evidence,
        Code.RESOLUTION_TOO_LOW,
        message,
        hint={"min_width_px": better},
    )


def _sharpness(tones: Tones) -> Facet:
    evidence = f"edge sharpness {tones.acutance:.2f} (Laplacian over tonal range)"
    message = "The picture is blurred; draw it at its final size instead of enlarging it."
    return facet(Dimension.CLARITY, ramp(tones.acutance, 0.1, 0.4), evidence, Code.BLURRED, message)


def _visibility(kind: Kind, tones: Tones) -> Facet:
    if kind is Kind.IMAGE:
        evidence = f"tonal contrast {tones.rms_contrast:.2f} (standard deviation)"
        score = ramp(tones.rms_contrast, 0.01, 0.06)
    else:
        evidence = f"contrast with the background {tones.drawn_contrast:.1f}:1"
        score = ramp(tones.drawn_contrast, 1.2, 3.2)
    message = "The picture is pale: what it shows hardly stands out; use darker or lighter tones."
    return facet(Dimension.CLARITY, score, evidence, Code.LOW_CONTRAST, message, hint={"min_contrast": 4.5})


def _coherence(tones: Tones) -> Facet:
    evidence = f"neighbouring pixels agree by {tones.coherence:.2f}"
    message = "The picture is noise; produce it again."
    return facet(Dimension.AESTHETIC, ramp(tones.coherence, 0.1, 0.5), evidence, Code.NOISE, message)


def _proportions(kind: Kind, picture: Picture) -> Facet:
    aspect = picture.longest / max(1, min(picture.width, picture.height))
    evidence = f"sides 1:{aspect:.1f}"
    message = f"The picture's sides are 1:{aspect:.1f}; lay it out less stretched."
    widest = _WIDEST[kind]
    return facet(
        Dimension.AESTHETIC, ramp(aspect, widest * 1.5, widest * 0.75), evidence, Code.BAD_PROPORTIONS, message
    )


def _extent(kind: Kind, tones: Tones) -> Facet:
    evidence = f"content takes {tones.ink.extent:.0%} of the area"
    message = "Most of the picture is empty; crop it or draw the content larger."
    least = _LEAST_EXTENT[kind]
    return facet(Dimension.AESTHETIC, ramp(tones.ink.extent, 0.0, least), evidence, Code.MOSTLY_EMPTY, message)


def _error_page(lettering: Lettering) -> Iterator[Facet]:
    sign = error_sign(lettering.texts)
    if sign:
        message = f"The page shows an error ({sign!r}); capture it when it works, or at another address."
        yield facet(Dimension.RELEVANCE, 0.0, f"the page says {sign!r}", Code.ERROR_PAGE, message)
