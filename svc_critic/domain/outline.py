"""Measurements of documents by their structure, the same for all formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from svc_critic.domain.relevance import measure_relevance
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement, zero_scores
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.scoring import Measurement

WORDS_WITHOUT_HEADING = 250
_MIN_WORDS = 15
_MAX_SHOWN = 3
_CAPTION = re.compile(r"^\W*(figure|fig\.|table)\s+(\d+)\s*[.:–—-]", re.IGNORECASE | re.MULTILINE)
_MENTION = re.compile(r"\b(figure|fig\.|table)\s+(\d+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outline:
    """The structure of a document.

    `headings` has their levels from 1; `dead_references` the references within the document that have no target;
    `missing_figures` the figures that are not embedded. `pages` is 0 for a format without pages. `has_structure` is
    false for a format that does not mark headings and alternative texts.
    """

    text: str
    headings: tuple[int, ...]
    references: int = 0
    dead_references: tuple[str, ...] = ()
    figures: int = 0
    missing_figures: tuple[str, ...] = ()
    figures_without_alt_text: int = 0
    pages: int = 0
    blank_pages: int = 0
    has_structure: bool = True


def measure_outline(outline: Outline, context: EvaluationContext) -> tuple[Measurement, ...]:
    """Measures a document."""
    word_count = len(words(outline.text))
    if not word_count and not outline.figures:
        return zero_scores(
            FeedbackCode.BLANK, "the document has no words", "The document is empty; write what was asked for."
        )
    return (
        *_clarity(outline, word_count),
        *_aesthetic(outline, word_count),
        *measure_relevance(outline.text.splitlines(), context, "the document"),
    )


def _clarity(outline: Outline, word_count: int) -> Iterator[Measurement]:
    message = f"The document has {word_count} words; write it out."
    score = 1.0 if outline.figures and word_count else linear_score(word_count, 0, _MIN_WORDS)
    yield measurement(
        Dimension.CLARITY, score, f"{word_count} words", FeedbackCode.TOO_SHORT, message, hint={"min_words": _MIN_WORDS}
    )
    dead = (*outline.dead_references, *_missing_captions(outline.text))
    evidence = (
        f"{len(dead)} of {outline.references + len(dead) - len(outline.dead_references)} references within lead nowhere"
    )
    message = f"References lead nowhere: {_sample(dead)}; give each its target."
    score = 1.0 if not dead else linear_score(len(dead), 6, 0) * 0.6
    yield measurement(
        Dimension.CLARITY, score, evidence, FeedbackCode.DEAD_REFERENCE, message, hint={"references": [*dead[:20]]}
    )
    missing = outline.missing_figures
    evidence = f"{len(missing)} of {outline.figures} figures are missing"
    message = f"Figures are missing: {_sample(missing)}; embed them."
    score = 1.0 if not missing else linear_score(len(missing), 4, 0) * 0.6
    yield measurement(
        Dimension.CLARITY, score, evidence, FeedbackCode.MISSING_FIGURE, message, hint={"figures": [*missing[:20]]}
    )


def _aesthetic(outline: Outline, word_count: int) -> Iterator[Measurement]:
    levels = outline.headings
    if outline.has_structure:
        jumps = sum(after > before + 1 for before, after in pairwise(levels))
        needs_headings = word_count >= WORDS_WITHOUT_HEADING
        score = min(0.3 if needs_headings and not levels else 1.0, linear_score(jumps, 4, 0))
        evidence = f"{len(levels)} headings, {jumps} of them skip a level"
        message = "The document has no headings, or skips levels of them; give each part one, level by level."
        yield measurement(Dimension.AESTHETIC, score, evidence, FeedbackCode.UNSTRUCTURED, message)
    if outline.pages:
        evidence = f"{outline.blank_pages} of {outline.pages} pages are blank"
        message = "The document has blank pages; leave them out."
        score = linear_score(outline.blank_pages / outline.pages, 0.5, 0.0)
        yield measurement(Dimension.AESTHETIC, score, evidence, FeedbackCode.BLANK, message)
    if outline.figures and outline.has_structure:
        evidence = f"{outline.figures_without_alt_text} of {outline.figures} figures have no text instead of them"
        message = "Figures have no alternative text; say in words what each shows."
        score = linear_score(outline.figures_without_alt_text / outline.figures, 1.5, 0.0)
        yield measurement(Dimension.AESTHETIC, score, evidence, FeedbackCode.UNSTRUCTURED, message)


def _missing_captions(text: str) -> tuple[str, ...]:
    """Returns figures and tables that are mentioned and have no caption, in a document with numbered captions."""
    captions = {(_caption_kind(kind), number) for kind, number in _CAPTION.findall(text)}
    numbered = {kind for kind, _ in captions}
    mentions = {(_caption_kind(kind), number) for kind, number in _MENTION.findall(text)}
    return tuple(f"{kind} {number}" for kind, number in sorted(mentions - captions) if kind in numbered)


def _caption_kind(word: str) -> str:
    return "Table" if word.lower().startswith("t") else "Figure"


def _sample(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_SHOWN} more" * (len(names) > _MAX_SHOWN)
    return ", ".join(repr(name) for name in names[:_MAX_SHOWN]) + more
