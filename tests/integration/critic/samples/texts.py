"""Texts and documents, and what goes wrong with them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from svc_critic.domain.asset import EvaluationContext
from tests.integration.critic.samples.label import sample
from tests.integration.critic.samples.pictures import boxes, png

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.critic.samples.label import Sample
    from tests.integration.critic.samples.theme import Theme

OFF = (
    "Boil the pasta in salted water until it is firm. Fry garlic and tomatoes in olive oil, add basil and pepper, "
    "and stir until the sauce is thick. Serve it hot with grated cheese and a green salad."
)


def texts(theme: Theme) -> Iterator[Sample]:
    """Good and bad texts."""
    whole = " ".join(theme.sentences)
    context = EvaluationContext(f"Write a short section about the {theme.subject}: {theme.sentences[0]}")
    long = EvaluationContext(f"Write 400 words about the {theme.subject}: {', '.join(theme.labels)}")

    def made(name: str, text: str, code: str = "", asked: EvaluationContext = context) -> Sample:
        return sample(f"{theme.name}/text/{name}", "text", "text/plain", text.encode(), asked, code=code)

    yield made("section", whole)
    yield made("two paragraphs", f"{theme.sentences[0]} {theme.sentences[1]}\n\n{theme.sentences[2]}")
    yield made("list", "Parts:\n\n" + "\n".join(f"- {line}" for line in theme.sentences))
    yield made("one sentence", theme.sentences[1])
    yield made("empty", " \n ", "BLANK")
    yield made("three words", "Yes of course", "TOO_SHORT")
    yield made("shorter than asked", whole, "TOO_SHORT", long)
    yield made("breaks off", whole[: len(whole) * 2 // 3].rstrip(" .") + " and the", "CUT_OFF")
    yield made("a loop", " ".join([theme.sentences[0]] * 9), "REPETITIVE")
    yield made("stuttering", "the the the " * 30 + whole[:40] + ".", "REPETITIVE")
    yield made("off topic", OFF, "NOT_RELEVANT")
    yield made("signs", "{[(<*&^%$#@!~=+|/\\>)]} 0x1F 77 88 99 -- ;; :: " * 12, "NOISE")


def documents(theme: Theme) -> Iterator[Sample]:
    """Good and bad documents."""
    context = EvaluationContext(f"Write a document about the {theme.subject}")

    def made(name: str, media_type: str, content: bytes, code: str = "") -> Sample:
        return sample(f"{theme.name}/document/{name}", "document", media_type, content, context, code=code)

    figure = base64.b64encode(png(boxes(theme, theme.labels))).decode()
    whole = _html(theme, f"data:image/png;base64,{figure}", "parts")
    yield made("page", "text/html", whole.encode())
    yield made("page without its figure", "text/html", _html(theme, "", "parts").encode(), "MISSING_FIGURE")
    yield made("page with a dead link", "text/html", _html(theme, "data:,x", "gone").encode(), "DEAD_REFERENCE")
    other = whole.replace("Figure 1 ", "Figure 3 ", 1)
    yield made("page without the figure it speaks of", "text/html", other.encode(), "DEAD_REFERENCE")
    yield made("empty page", "text/html", b"<html><head><title>x</title></head><body></body></html>", "BLANK")
    yield made("markdown", "text/markdown", _markdown(theme, "parts").encode())
    yield made("markdown with a dead link", "text/markdown", _markdown(theme, "part").encode(), "DEAD_REFERENCE")
    lost = _markdown(theme, "parts").replace("(parts.png)", "()")
    yield made("markdown without its figure", "text/markdown", lost.encode(), "MISSING_FIGURE")
    yield made("off topic", "text/markdown", f"# Pasta\n\n{OFF}\n".encode(), "NOT_RELEVANT")
    printed = _pdf(theme)
    yield made("print", "application/pdf", printed)
    yield made("blank print", "application/pdf", _blank_pdf(), "BLANK")
    yield made("cut print", "application/pdf", printed[: len(printed) // 3], "UNDECODABLE")


def _html(theme: Theme, figure: str, target: str) -> str:
    paragraphs = "".join(f"<p>{sentence}</p>" for sentence in theme.sentences)
    items = "".join(f"<li>{label}</li>" for label in theme.labels)
    return (
        f"<!doctype html><html><head><title>{theme.subject}</title><style>p{{}}</style></head><body>"
        f'<h1>{theme.subject}</h1><p>See <a href="#{target}">the parts</a> and Figure 1 for an overview.</p>'
        f'{paragraphs}<h2 id="parts">Parts</h2><ul>{items}</ul>'
        f'<figure><img alt="The parts" src="{figure}"><figcaption>Figure 1: the parts</figcaption></figure>'
        "</body></html>"
    )


def _markdown(theme: Theme, target: str) -> str:
    items = "\n".join(f"- {label}" for label in theme.labels)
    body = "\n\n".join(theme.sentences)
    head = f"# {theme.subject}\n\nSee [the parts](#{target}).\n\n{body}"
    return f"{head}\n\n## Parts\n\n{items}\n\n![The parts](parts.png)\n"


def _pdf(theme: Theme) -> bytes:
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 11))
    canvas = FigureCanvasPdf(figure)
    figure.text(0.1, 0.9, theme.subject, fontsize=20)
    for place, sentence in enumerate(theme.sentences):
        figure.text(0.1, 0.8 - place * 0.06, sentence, fontsize=8)
    written = io.BytesIO()
    canvas.print_pdf(written)
    return written.getvalue()


def _blank_pdf() -> bytes:
    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(width=595, height=842)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()
