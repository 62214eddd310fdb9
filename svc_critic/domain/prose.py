"""Measurements of text that need no model."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from svc_critic.domain.relevance import measure_relevance
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement, zero_scores
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.scoring import Measurement

MIN_WORDS = 12
_REQUESTED_LENGTH = re.compile(r"\b(\d{1,5})(?:\s*(?:-|–|to)\s*(\d{1,5}))?\s+words\b", re.IGNORECASE)
_AT_MOST = re.compile(
    r"(?:at most|no more than|up to|under|within|maximum(?: of)?|max\.?|fewer than|less than)\s*$", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?…:;\"'”’)\]}>|*`_]\s*$|^\s*(?:[-*+]|\d+[.)])\s|^\s*#|^\s*\|", re.MULTILINE)
_SENTENCES = re.compile(r"(?<=[.!?…])\s+|\n+")
_MARKUP = re.compile(r"^[ \t]*(?:#{1,6}|[-*+]|\d+[.)]|>)[ \t]+", re.MULTILINE)
_NGRAM_SIZE = 4
_MAX_PARAGRAPH_WORDS = 250
_MAX_SENTENCE_WORDS = 45


def measure_prose(text: str, context: EvaluationContext) -> tuple[Measurement, ...]:
    """Measures length, completeness, repetition, characters, layout, and the overlap with the request."""
    text_words = words(text)
    if not text_words:
        return zero_scores(FeedbackCode.BLANK, "the text has no words", "The text is empty; write what was asked for.")
    return (
        _length(text_words, context.request),
        _completeness(text),
        _repetition(text, text_words),
        _characters(text),
        _layout(text),
        *measure_relevance([text], context, "the text"),
    )


def _length(text_words: Sequence[str], request: str) -> Measurement:
    min_words = _requested_words(request) or MIN_WORDS
    score = linear_score(len(text_words) / min_words, 0.0, 0.8)
    message = f"The text has {len(text_words)} words; write about {min_words}."
    return measurement(
        Dimension.CLARITY,
        score,
        f"{len(text_words)} words",
        FeedbackCode.TOO_SHORT,
        message,
        hint={"min_words": min_words},
    )


def _requested_words(request: str) -> int:
    """Returns the number of words that a request demands; 0 when it names none, or only an upper bound."""
    match = _REQUESTED_LENGTH.search(request)
    if match is None or _AT_MOST.search(request[: match.start()]):
        return 0
    return int(match.group(1))


def _completeness(text: str) -> Measurement:
    last = text.strip().rsplit("\n", 1)[-1]
    is_complete = bool(_SENTENCE_END.search(last))
    evidence = "ends with a whole sentence" if is_complete else f"breaks off at {last[-40:]!r}"
    message = "The text breaks off in the middle of a sentence; finish it."
    return measurement(Dimension.CLARITY, 1.0 if is_complete else 0.4, evidence, FeedbackCode.CUT_OFF, message)


def _repetition(text: str, text_words: Sequence[str]) -> Measurement:
    """Measures the share of distinct n-grams ("distinct-n", Li et al. 2016), and that of repeated sentences."""
    ngrams = [tuple(text_words[start : start + _NGRAM_SIZE]) for start in range(len(text_words) - _NGRAM_SIZE + 1)]
    distinct = len(set(ngrams)) / len(ngrams) if ngrams else 1.0
    sentences = Counter(
        " ".join(words(sentence)) for sentence in _SENTENCES.split(text) if len(words(sentence)) >= _NGRAM_SIZE
    )
    repeated = sum(sentences.values()) - len(sentences)
    repeated_share = repeated / max(1, sum(sentences.values()))
    evidence = f"{distinct:.0%} of its {_NGRAM_SIZE}-word runs are distinct, {repeated} sentences return"
    score = min(linear_score(distinct, 0.35, 0.75), linear_score(repeated_share, 0.6, 0.1))
    message = "The text repeats itself; say each thing once."
    return measurement(Dimension.CLARITY, score, evidence, FeedbackCode.REPETITIVE, message)


def _characters(text: str) -> Measurement:
    """Measures the share of letters among non-blank characters: it is low in binary noise and broken encodings."""
    characters = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() for character in characters) / len(characters)
    broken = text.count("\N{REPLACEMENT CHARACTER}") / len(characters)
    score = min(linear_score(letters, 0.3, 0.6), linear_score(broken, 0.02, 0.0))
    message = "The text is mostly signs, not words, or its encoding is broken; write plain sentences in UTF-8."
    return measurement(Dimension.CLARITY, score, f"{letters:.0%} letters", FeedbackCode.NOISE, message)


def _layout(text: str) -> Measurement:
    """Measures whether paragraphs and sentences are short enough to be read."""
    paragraphs = [
        len(words(part)) for part in re.split(r"\n\s*\n|^[ \t]*(?:[-*+]|\d+[.)])[ \t]", text, flags=re.MULTILINE)
    ]
    sentences = [len(words(part)) for part in _SENTENCES.split(_MARKUP.sub("", text)) if words(part)]
    longest = max(paragraphs)
    mean = math.fsum(sentences) / max(1, len(sentences))
    score = min(
        linear_score(longest, 3 * _MAX_PARAGRAPH_WORDS, _MAX_PARAGRAPH_WORDS),
        linear_score(mean, 2 * _MAX_SENTENCE_WORDS, _MAX_SENTENCE_WORDS),
    )
    evidence = f"longest paragraph {longest} words, sentences {mean:.0f} words on average"
    message = "The text is one block; break it into paragraphs and shorter sentences."
    return measurement(Dimension.AESTHETIC, score, evidence, FeedbackCode.UNSTRUCTURED, message)
