"""Judging text by measures that need no model."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from svc_critic.domain.judgement import Code, measurement, zero_scores
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import ramp
from svc_critic.domain.topic import relevance
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.judgement import Measurement

FEWEST_WORDS = 12
_ASKED_LENGTH = re.compile(r"\b(\d{1,5})(?:\s*(?:-|–|to)\s*(\d{1,5}))?\s+words\b", re.IGNORECASE)
_AT_MOST = re.compile(
    r"(?:at most|no more than|up to|under|within|maximum(?: of)?|max\.?|fewer than|less than)\s*$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?…:;\"'”’)\]}>|*`_]\s*$|^\s*(?:[-*+]|\d+[.)])\s|^\s*#|^\s*\|", re.MULTILINE)
_SENTENCES = re.compile(r"(?<=[.!?…])\s+|\n+")
_MARKUP = re.compile(r"^[ \t]*(?:#{1,6}|[-*+]|\d+[.)]|>)[ \t]+", re.MULTILINE)
_RUN = 4
_LONG_PARAGRAPH = 250
_LONG_SENTENCE = 45


def examine_prose(text: str, context: EvaluationContext) -> tuple[Measurement, ...]:
    """What can be measured of a text: length, completeness, repetition, layout, overlap with the request."""
    found_words = words(text)
    if not found_words:
        return zero_scores(Code.BLANK, "the text has no words", "The text is empty; write what was asked for.")
    return (
        _length(found_words, context.request),
        _completeness(text),
        _repetition(text, found_words),
        _characters(text),
        _layout(text),
        *relevance([text], context, "the text"),
    )


def _length(found_words: Sequence[str], request: str) -> Measurement:
    needed = _asked_words(request) or FEWEST_WORDS
    score = ramp(len(found_words) / needed, 0.0, 0.8)
    message = f"The text has {len(found_words)} words; write about {needed}."
    return measurement(
        Dimension.CLARITY, score, f"{len(found_words)} words", Code.TOO_SHORT, message, hint={"min_words": needed}
    )


def _asked_words(request: str) -> int:
    """The number of words that a request demands; 0 when it names none, or only an upper bound."""
    found = _ASKED_LENGTH.search(request)
    if found is None or _AT_MOST.search(request[: found.start()]):
        return 0
    return int(found.group(1))


def _completeness(text: str) -> Measurement:
    last = text.strip().rsplit("\n", 1)[-1]
    whole = bool(_SENTENCE_END.search(last))
    evidence = "ends with a whole sentence" if whole else f"breaks off at {last[-40:]!r}"
    message = "The text breaks off in the middle of a sentence; finish it."
    return measurement(Dimension.CLARITY, 1.0 if whole else 0.4, evidence, Code.CUT_OFF, message)


def _repetition(text: str, found_words: Sequence[str]) -> Measurement:
    """Distinct runs of words among all runs ("distinct-n", Li et al. 2016), and sentences that return word for word."""
    runs = [tuple(found_words[place : place + _RUN]) for place in range(len(found_words) - _RUN + 1)]
    distinct = len(set(runs)) / len(runs) if runs else 1.0
    sentences = Counter(
        " ".join(words(sentence)) for sentence in _SENTENCES.split(text) if len(words(sentence)) >= _RUN
    )
    again = sum(sentences.values()) - len(sentences)
    echoed = again / max(1, sum(sentences.values()))
    evidence = f"{distinct:.0%} of its {_RUN}-word runs are distinct, {again} sentences return"
    score = min(ramp(distinct, 0.35, 0.75), ramp(echoed, 0.6, 0.1))
    message = "The text repeats itself; say each thing once."
    return measurement(Dimension.CLARITY, score, evidence, Code.REPETITIVE, message)


def _characters(text: str) -> Measurement:
    """Letters among what is not blank: program noise and broken encodings have few."""
    dense = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() for character in dense) / len(dense)
    broken = text.count("\N{REPLACEMENT CHARACTER}") / len(dense)
    score = min(ramp(letters, 0.3, 0.6), ramp(broken, 0.02, 0.0))
    message = "The text is mostly signs, not words, or its encoding is broken; write plain sentences in UTF-8."
    return measurement(Dimension.CLARITY, score, f"{letters:.0%} letters", Code.NOISE, message)


def _layout(text: str) -> Measurement:
    """Paragraphs and sentences of a length that can be read."""
    paragraphs = [
        len(words(part)) for part in re.split(r"\n\s*\n|^[ \t]*(?:[-*+]|\d+[.)])[ \t]", text, flags=re.MULTILINE)
    ]
    sentences = [len(words(part)) for part in _SENTENCES.split(_MARKUP.sub("", text)) if words(part)]
    longest = max(paragraphs)
    mean = math.fsum(sentences) / max(1, len(sentences))
    score = min(ramp(longest, 3 * _LONG_PARAGRAPH, _LONG_PARAGRAPH), ramp(mean, 2 * _LONG_SENTENCE, _LONG_SENTENCE))
    evidence = f"longest paragraph {longest} words, sentences {mean:.0f} words on average"
    message = "The text is one block; break it into paragraphs and shorter sentences."
    return measurement(Dimension.AESTHETIC, score, evidence, Code.UNSTRUCTURED, message)
