"""Judging documents by their structure, alike for all formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from svc_critic.domain.judgement import Code, measurement, zero_scores
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import ramp
from svc_critic.domain.topic import relevance
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.judgement import Measurement

WORDS_WITHOUT_HEADING = 250
_FEWEST_WORDS = 15
_SHOWN = 3
_CAPTION = re.compile(r"^\W*(figure|fig\.|table)\s+(\d+)\s*[.:–—-]", re.IGNORECASE | re.MULTILINE)
_MENTION = re.compile(r"\b(figure|fig\.|table)\s+(\d+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outline:
    """What a document is made of.

    `headings` are their levels from 1, `dead` references within it that lead nowhere, `missing` figures that are not
    there, `unnamed` those without a text instead of them, `blank_pages` of `pages` (0: it has none). `outlined` is
    false for a format that does not tell headings and texts of figures apart from the rest.
    """

    text: str
    headings: tuple[int, ...]
    references: int = 0
    dead: tuple[str, ...] = ()
    figures: int = 0
    missing: tuple[str, ...] = ()
    unnamed: int = 0
    pages: int = 0
    blank_pages: int = 0
    outlined: bool = True


def examine_outline(outline: Outline, context: EvaluationContext) -> tuple[Measurement, ...]:
    """Facets of a document."""
    count = len(words(outline.text))
    if not count and not outline.figures:
        return zero_scores(Code.BLANK, "the document has no words", "The document is empty; write what was asked for.")
    return (
        *_clarity(outline, count),
        *_form(outline, count),
        *relevance(outline.text.splitlines(), context, "the document"),
    )


def _clarity(outline: Outline, count: int) -> Iterator[Measurement]:
    message = f"The document has {count} words; write it out."
    score = 1.0 if outline.figures and count else ramp(count, 0, _FEWEST_WORDS)
    yield measurement(
        Dimension.CLARITY, score, f"{count} words", Code.TOO_SHORT, message, hint={"min_words": _FEWEST_WORDS}
    )
    dead = (*outline.dead, *_unmet(outline.text))
    evidence = f"{len(dead)} of {outline.references + len(dead) - len(outline.dead)} references within lead nowhere"
    message = f"References lead nowhere: {_some(dead)}; give each its target."
    score = 1.0 if not dead else ramp(len(dead), 6, 0) * 0.6
    yield measurement(
        Dimension.CLARITY, score, evidence, Code.DEAD_REFERENCE, message, hint={"references": [*dead[:20]]}
    )
    missing = outline.missing
    evidence = f"{len(missing)} of {outline.figures} figures are missing"
    message = f"Figures are missing: {_some(missing)}; embed them."
    score = 1.0 if not missing else ramp(len(missing), 4, 0) * 0.6
    yield measurement(
        Dimension.CLARITY, score, evidence, Code.MISSING_FIGURE, message, hint={"figures": [*missing[:20]]}
    )


def _form(outline: Outline, count: int) -> Iterator[Measurement]:
    levels = outline.headings
    if outline.outlined:
        jumps = sum(after > before + 1 for before, after in pairwise(levels))
        needed = count >= WORDS_WITHOUT_HEADING
        score = min(0.3 if needed and not levels else 1.0, ramp(jumps, 4, 0))
        evidence = f"{len(levels)} headings, {jumps} of them skip a level"
        message = "The document has no headings, or skips levels of them; give each part one, level by level."
        yield measurement(Dimension.AESTHETIC, score, evidence, Code.UNSTRUCTURED, message)
    if outline.pages:
        evidence = f"{outline.blank_pages} of {outline.pages} pages are blank"
        message = "The document has blank pages; leave them out."
        score = ramp(outline.blank_pages / outline.pages, 0.5, 0.0)
        yield measurement(Dimension.AESTHETIC, score, evidence, Code.BLANK, message)
    if outline.figures and outline.outlined:
        evidence = f"{outline.unnamed} of {outline.figures} figures have no text instead of them"
        message = "Figures have no alternative text; say in words what each shows."
        score = ramp(outline.unnamed / outline.figures, 1.5, 0.0)
        yield measurement(Dimension.AESTHETIC, score, evidence, Code.UNSTRUCTURED, message)


def _unmet(text: str) -> tuple[str, ...]:
    """Figures and tables that are spoken of and not there, in a document that numbers its captions."""
    captions = {(_kind(kind), number) for kind, number in _CAPTION.findall(text)}
    numbered = {kind for kind, _ in captions}
    mentions = {(_kind(kind), number) for kind, number in _MENTION.findall(text)}
    return tuple(f"{kind} {number}" for kind, number in sorted(mentions - captions) if kind in numbered)


def _kind(word: str) -> str:
    return "Table" if word.lower().startswith("t") else "Figure"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
