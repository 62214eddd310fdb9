"""Diagrams, charts and photographs, and what goes wrong with them."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from svc_critic.domain.asset import EvaluationContext
from tests.integration.critic.samples.label import sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.critic.samples.label import Sample
    from tests.integration.critic.samples.theme import Theme

OTHER_LABELS = ("Harbour crane", "Customs shed", "Container yard", "Pilot boat")


def png(image: Image.Image) -> bytes:
    """The bytes of a picture."""
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def jpeg(image: Image.Image) -> bytes:
    """The bytes of a picture."""
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return written.getvalue()


def enlarged(image: Image.Image, factor: int) -> Image.Image:
    """A picture that was drawn too small and blown up."""
    small = image.resize((image.width // factor, image.height // factor), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BICUBIC)


def noise(theme: Theme, size: tuple[int, int]) -> Image.Image:
    """Static."""
    values = np.random.default_rng(theme.seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def boxes(theme: Theme, labels: Sequence[str], *, columns: int = 2, ink: str = "", margin: int = 50) -> Image.Image:
    """Boxes in a grid, arrows between them."""
    ink = ink or theme.ink
    font, pad = theme.font(), theme.size
    width = max(int(font.getlength(label)) for label in labels) + 2 * pad
    height, gap = theme.size * 3, theme.size * 3
    rows = -(-len(labels) // columns)
    size = (2 * margin + columns * width + (columns - 1) * gap, 2 * margin + rows * height + (rows - 1) * gap)
    image = Image.new("RGB", size, theme.ground)
    pen = ImageDraw.Draw(image)
    places = [
        (margin + place % columns * (width + gap), margin + place // columns * (height + gap))
        for place in range(len(labels))
    ]
    fill = theme.fill if ink == theme.ink else theme.ground
    for (left, top), (right, bottom) in pairwise(places):
        start, end = (left + width // 2, top + height // 2), (right + width // 2, bottom + height // 2)
        pen.line([start, end], fill=ink, width=3)
    for (left, top), label in zip(places, labels, strict=True):
        pen.rounded_rectangle([left, top, left + width, top + height], 10, fill=fill, outline=ink, width=3)
        pen.text((left + pad, top + height // 2), label, fill=ink, font=font, anchor="lm")
    return image


def diagrams(theme: Theme) -> Iterator[Sample]:
    """Good and bad diagrams of a theme."""
    context = EvaluationContext(theme.request, theme.labels)
    free = EvaluationContext(theme.request)
    good = boxes(theme, theme.labels)
    wide = boxes(theme, theme.labels, columns=3)

    def made(name: str, image: Image.Image, code: str = "", asked: EvaluationContext = context) -> Sample:
        return sample(f"{theme.name}/diagram/{name}", "diagram", "image/png", png(image), asked, code=code)

    yield made("grid", good)
    yield made("wide", wide)
    yield made("without labels asked", good, asked=free)
    yield made("column", boxes(theme, theme.labels, columns=1))
    yield made("chart", _chart(theme), asked=EvaluationContext(f"Bar chart of loads: {', '.join(theme.labels)}"))
    yield made("blank", Image.new("RGB", good.size, theme.ground), "BLANK")
    yield made("only boxes", boxes(theme, [" "] * 4), "TEXT_ILLEGIBLE", free)
    yield made("tiny", good.resize((good.width // 5, good.height // 5), Image.Resampling.LANCZOS), "RESOLUTION_TOO_LOW")
    yield made("small letters", good.resize((good.width // 4, good.height // 4)), "TEXT_ILLEGIBLE")
    yield made("blown up", enlarged(good, 5), "BLURRED")
    yield made("blurred", wide.filter(ImageFilter.GaussianBlur(4)), "BLURRED")
    yield made("pale", boxes(theme, theme.labels, ink=theme.pale), "LOW_CONTRAST")
    yield made("clipped", _clipped(theme), "CLIPPED_TEXT")
    yield made("two of all", boxes(theme, theme.labels[:2]), "MISSING_LABEL")
    yield made("another subject", boxes(theme, OTHER_LABELS), "MISSING_LABEL")
    yield made("another subject, free", boxes(theme, OTHER_LABELS), "NOT_RELEVANT", free)
    yield made(
        "repeated", boxes(theme, [label for label in theme.labels for _ in range(4)], columns=4), "DUPLICATE_LABEL"
    )
    yield made("noise", noise(theme, (640, 480)), "NOISE")
    yield made("not wide enough", good, "RESOLUTION_TOO_LOW", EvaluationContext(theme.request, theme.labels, 2400))
    cut = png(good)[:900]
    yield sample(f"{theme.name}/diagram/cut file", "diagram", "image/png", cut, context, code="UNDECODABLE")
    yield from _vectors(theme, context)


def _clipped(theme: Theme) -> Image.Image:
    drawn = boxes(theme, theme.labels)
    cut = 50 + theme.size + int(theme.font().getlength(theme.labels[0][:2])) - 3
    return drawn.crop((cut, 0, drawn.width, drawn.height))


def _chart(theme: Theme) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=120)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.bar(range(len(theme.labels)), [3 + (theme.seed * place) % 7 for place in range(len(theme.labels))])
    axes.set_xticks(range(len(theme.labels)), [label.split()[0] for label in theme.labels])
    axes.set_title(f"Load of {theme.labels[0]} and others")
    axes.set_ylabel("Requests a minute")
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _vectors(theme: Theme, context: EvaluationContext) -> Iterator[Sample]:
    def made(name: str, labels: Sequence[str], code: str = "", ink: str = theme.ink) -> Sample:
        content = _svg(theme, labels, ink).encode()
        return sample(f"{theme.name}/diagram/{name}", "diagram", "image/svg+xml", content, context, code=code)

    yield made("vector", theme.labels)
    yield made("vector without the last three", theme.labels[:-3], "MISSING_LABEL")
    yield made("invisible vector", theme.labels, "BLANK", theme.ground)
    broken = _svg(theme, theme.labels, theme.ink)[:-40].encode()
    yield sample(f"{theme.name}/diagram/broken vector", "diagram", "image/svg+xml", broken, context, code="UNDECODABLE")


def _svg(theme: Theme, labels: Sequence[str], ink: str) -> str:
    parts = [f'<rect width="100%" height="100%" fill="{theme.ground}"/>']
    for place, label in enumerate(labels):
        top = 20 + place * 90
        parts.append(f'<rect x="20" y="{top}" width="260" height="50" fill="{theme.ground}" stroke="{ink}"/>')
        parts.append(f'<text x="40" y="{top + 32}" font-size="20" fill="{ink}">{label}</text>')
        if place:
            parts.append(f'<path d="M150 {top - 40}L150 {top}" fill="none" stroke="{ink}" marker-end="url(#a)"/>')
    height = 40 + len(labels) * 90
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 {height}" width="300" height="{height}">'
        f'<defs><marker id="a"><path d="M0 0L4 2L0 4z"/></marker></defs>{"".join(parts)}</svg>'
    )


def scene(theme: Theme, size: tuple[int, int] = (960, 640)) -> Image.Image:
    """Something like a photograph of hills: smooth tones, fine grain, hard edges."""
    rng = np.random.default_rng(theme.seed)
    width, height = size
    sky = np.linspace(90, 230, height)[:, None, None] * np.array([0.8, 0.9, 1.0]) * np.ones((1, width, 1))
    across = np.arange(width)
    for layer in range(4):
        waves = sum(np.sin(across / rng.uniform(20, 220) + rng.uniform(0, 6)) * rng.uniform(5, 40) for _ in range(4))
        line = height * (0.4 + 0.14 * layer) + waves
        tone = np.array([60, 110, 50]) * (1.2 - 0.25 * layer) + rng.uniform(-25, 25, 3)
        mask = np.arange(height)[:, None] > line[None, :]
        grain = rng.normal(0, 14, (height // 4, width // 4)).repeat(4, axis=0).repeat(4, axis=1)
        sky[mask] = (tone + grain[:height, :width, None])[mask]
    return Image.fromarray(np.clip(sky + rng.normal(0, 3, sky.shape), 0, 255).astype(np.uint8))


def images(theme: Theme) -> Iterator[Sample]:
    """Good and bad photographs."""
    context = EvaluationContext(f"A photograph of hills for the {theme.subject}")
    good = scene(theme)

    def made(name: str, image: Image.Image, code: str = "") -> Sample:
        return sample(f"{theme.name}/image/{name}", "image", "image/jpeg", jpeg(image), context, code=code)

    yield made("hills", good)
    yield made("tall", scene(theme, (600, 900)))
    yield made("gray", good.convert("L").convert("RGB"))
    yield made("one colour", Image.new("RGB", good.size, theme.fill), "BLANK")
    yield made("noise", noise(theme, (800, 600)), "NOISE")
    yield made("thumbnail", good.resize((160, 106)), "RESOLUTION_TOO_LOW")
    yield made("blurred", good.filter(ImageFilter.GaussianBlur(6)), "BLURRED")
    yield made("blown up", enlarged(good, 8), "BLURRED")
    yield made("nearly black", Image.fromarray((np.asarray(good) * 0.03).astype(np.uint8)), "BLANK")
    yield made("a strip", good.crop((0, 0, 960, 60)), "BAD_PROPORTIONS")
    content = jpeg(good)[:3_000]
    yield sample(f"{theme.name}/image/cut file", "image", "image/jpeg", content, context, code="UNDECODABLE")
