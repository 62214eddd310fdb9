"""HTML: one file, whole, accessible, and nothing in it that acts or loads."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from soma_documents.html import HtmlWriter
from tests.unit.soma_documents.samples import SVG, composed, inputs, simple, small

GOLDEN = Path(__file__).parent / "golden" / "small.html"
WRITER = HtmlWriter()
TAGS = frozenset(
    """a audio b blockquote body br caption code col colgroup div em figcaption figure footer h1 h2 h3 h4 h5 h6 head
    header hr html img li main mark meta nav ol p pre s section span strong style table tbody td th thead title tr ul
    video""".split()  # noqa: SIM905 - read as a list of words
)
ATTRIBUTES = frozenset(
    """alt aria-label aria-labelledby charset class content controls height href http-equiv id lang name preload rel
    role scope src start tabindex width""".split()  # noqa: SIM905 - read as a list of words
)
VOID = {"br", "hr", "img", "meta", "col"}


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


HOSTILE = st.sampled_from(
    r"""<script>alert(1)</script>
    <img src=x onerror=alert(1)>
    " onload="alert(1)
    ' style='x
    ]]>
    -->
    </style><script>
    [a](javascript:alert(1))
    ![a](https://evil.example/x.png)
    <svg/onload=alert(1)>
    [a](data:text/html;base64,PHNjcmlwdD4=)
    <https://evil.example>
    [b]: //evil.example
    [x][b]
    {{ 7*7 }}
    {% x %}
    &lt;script&gt;
    &#60;script&#62;
    [x](//evil.example)
    `<script>`
    [a](https://e.example/"onclick="x)
    ![x](data:image/svg+xml;base64,AAAA)
    </title>
    <base href=//e>""".splitlines()
)
TEXT = st.lists(HOSTILE | st.text(max_size=20), max_size=6).map("".join)


def page_of(words: str, line: str) -> Page:
    line = " ".join(line.split()) or "x"
    requirement = {"id": "R", "title": line, "text": words, "priority": line[:60], "rationale": words}
    params = simple(
        title=line,
        body=words,
        requirements=[requirement],
        figures=[{"id": "f", "asset": "plan", "caption": line, "alt": line}],
    )
    params |= {"title": line, "authors": [line], "version": line, "glossary": [{"term": line, "definition": words}]}
    params |= {"missing_assets": "mark", "history": [{"version": line, "date": "2026-01-01", "change": line}]}
    params |= {"references": [line], "provenance": {line: {"license": words, "capability_id": words}}}
    return Page(WRITER.render(composed(params, inputs())))


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT.map(lambda text: text[:200]))
def test_no_words_can_bring_in_a_script_or_load_anything(words: str, line: str) -> None:
    page = page_of(words, line)
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    assert page.unbalanced == []
    assert page.values("src")
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert "#content" in page.values("href")
    assert all(re.match(r"#|https?://|mailto:", address) for address in page.values("href"))
    assert [tag for tag, _ in page.elements].count("style") == 1


def test_the_small_specification_is_written_as_reviewed() -> None:
    assert WRITER.render(composed()) == GOLDEN.read_text(encoding="utf-8")


def test_the_policy_of_the_page_allows_its_own_style_and_nothing_else() -> None:
    text = WRITER.render(composed())
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    (policy,) = [value for value in Page(text).values("content") if value.startswith("default-src")]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:;")
    assert "url(" not in style.group(1)
    assert "@import" not in style.group(1)


def test_the_page_is_found_around_in_without_eyes() -> None:
    page = Page(WRITER.render(composed()))
    assert ("html", {"lang": "en"}) in page.elements
    tags = [tag for tag, _ in page.elements]
    assert [tags.count(tag) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    assert {"img", "th", "audio", "h2", "h3"} <= set(tags)
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag in {"audio", "video"})
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_link_inside_leads_to_exactly_one_place() -> None:
    page = Page(WRITER.render(composed()))
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    links = {address[1:] for address in page.values("href") if address.startswith("#")}
    labels = {name for value in page.values("aria-labelledby") for name in value.split()}
    assert {"content", "sec-purpose", "document-control"} <= links | labels <= set(ids)


def test_pictures_and_sound_are_inside_below_the_limit_and_beside_it_above() -> None:
    inside = Page(WRITER.render(composed())).values("src")
    assert inside[0] == f"data:image/svg+xml;base64,{base64.b64encode(SVG).decode()}"
    assert inside[1].startswith("data:audio/wav;base64,")
    beside = Page(WRITER.render(composed(small() | {"embed_limit_bytes": 0})))
    assert beside.values("src") == ["assets/plan.svg", "assets/sound.wav"]


def test_a_link_to_the_web_gives_away_nothing() -> None:
    page = Page(WRITER.render(composed(simple(body="[site](https://example.org/a?b=1&c=2)"), {})))
    (link,) = [attributes for tag, attributes in page.elements if tag == "a" and "rel" in attributes]
    assert link == {"href": "https://example.org/a?b=1&c=2", "rel": "noopener noreferrer"}
