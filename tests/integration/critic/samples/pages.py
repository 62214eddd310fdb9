"""Screenshots of pages, and what goes wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter

from svc_critic.domain.asset import EvaluationContext
from tests.integration.critic.samples.label import sample
from tests.integration.critic.samples.pictures import enlarged, noise, png

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.critic.samples.label import Sample
    from tests.integration.critic.samples.theme import Theme

SIZE = (1280, 800)


def page(
    theme: Theme, heading: str, lines: Sequence[str], *, ink: str = "", left: int = 80, wrap: int = 78
) -> Image.Image:
    """A page with a bar, a heading, paragraphs and a button."""
    ink = ink or theme.ink
    image = Image.new("RGB", SIZE, theme.ground)
    pen = ImageDraw.Draw(image)
    if ink == theme.ink:
        pen.rectangle([0, 0, SIZE[0], 56], fill=theme.fill)
    pen.text((left, 90), heading, fill=ink, font=theme.font(40))
    top = 170
    for line in lines:
        for part in _wrapped(line, wrap):
            pen.text((left, top), part, fill=ink, font=theme.font(20))
            top += 34
        top += 16
    pen.rounded_rectangle([left, top, left + 180, top + 50], 8, outline=ink, width=2)
    pen.text((left + 90, top + 25), "Continue", fill=ink, font=theme.font(20), anchor="mm")
    return image


def _wrapped(line: str, width: int) -> Iterator[str]:
    part = ""
    for word in line.split():
        if len(part) + len(word) > width:
            yield part
            part = ""
        part = f"{part} {word}".strip()
    yield part


def _form(theme: Theme) -> Image.Image:
    image = Image.new("RGB", SIZE, theme.ground)
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle([420, 160, 860, 660], 12, outline=theme.ink, width=2)
    pen.text((640, 220), theme.labels[1], fill=theme.ink, font=theme.font(32), anchor="mm")
    for place, label in enumerate(theme.labels[2:4]):
        top = 290 + place * 110
        pen.text((460, top), label, fill=theme.ink, font=theme.font(18))
        pen.rectangle([460, top + 28, 820, top + 72], outline=theme.ink)
    pen.rounded_rectangle([460, 540, 820, 596], 8, fill=theme.ink)
    pen.text((640, 568), "Continue", fill=theme.ground, font=theme.font(20), anchor="mm")
    return image


ERRORS = (
    ("404 Not Found", ("The requested URL was not found on this server.",)),
    ("This site can't be reached", ("127.0.0.1 refused to connect.", "ERR_CONNECTION_REFUSED")),
    ("502 Bad Gateway", ("nginx",)),
    ("Internal Server Error", ("The server met an unexpected condition.",)),
)


def screenshots(theme: Theme) -> Iterator[Sample]:
    """Good and bad screenshots."""
    context = EvaluationContext(f"Screenshot of the page about the {theme.subject} with {', '.join(theme.labels)}")
    address = EvaluationContext("http://127.0.0.1:8123/page")
    heading = theme.subject.capitalize()
    good = page(theme, heading, theme.sentences)

    def made(name: str, image: Image.Image, code: str = "", asked: EvaluationContext = context) -> Sample:
        return sample(f"{theme.name}/screenshot/{name}", "screenshot", "image/png", png(image), asked, code=code)

    yield made("article", good)
    yield made("article by address", good, asked=address)
    yield made("form", _form(theme))
    yield made("phone", page(theme, heading, theme.sentences[:2], wrap=36).crop((0, 0, 800, 800)))
    yield made("large", good.resize((1920, 1200), Image.Resampling.LANCZOS))
    for number, (title, lines) in enumerate(ERRORS):
        yield made(f"error {number}", page(theme, title, lines), "ERROR_PAGE", address if number % 2 else context)
    yield made("blank", Image.new("RGB", SIZE, "white"), "BLANK", address)
    yield made("thumbnail", good.resize((240, 150)), "RESOLUTION_TOO_LOW")
    yield made("blown up", enlarged(good, 5), "BLURRED")
    yield made("blurred", good.filter(ImageFilter.GaussianBlur(4)), "BLURRED", address)
    yield made("pale", page(theme, heading, theme.sentences, ink=theme.pale), "LOW_CONTRAST", address)
    yield made("noise", noise(theme, SIZE), "NOISE")
    off = page(theme, "Cheap flights", ("Compare airlines and hotels for your next holiday by the sea.",))
    yield made("another page", off, "NOT_RELEVANT")
    yield made("cut at the side", page(theme, heading, theme.sentences, left=-14), "CLIPPED_TEXT")
    yield sample(
        f"{theme.name}/screenshot/cut file", "screenshot", "image/png", png(good)[:2_000], context, code="UNDECODABLE"
    )
