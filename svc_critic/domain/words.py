"""Words of requests and assets, and how much they overlap."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL = re.compile(r"^\s*[a-z][a-z0-9+.-]*://\S+\s*$", re.IGNORECASE)
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")
_MIN_STEM_LENGTH = 3
_MIN_FUZZY_LENGTH = 5
_MIN_SIMILARITY = 0.8
_MAX_COMPARED = 5_000
_MIN_LABEL_SHARE = 0.6

# Stop words: the most common ones of English, and those of instructions.
_STOP_WORDS = frozenset(
    """
    a about above after again all also an and any are as at be because been before being below between both but by can
    could did do does doing down during each few for from further had has have having he her here hers him his how i if
    in into is it its just like me more most my no nor not now of off on once only or other our out over own per same
    she should so some such than that the their them then there these they this those through to too under until up
    very via was we were what when where which while who whom why will with would you your

    add answer chart contains create describe diagram document draw drawing following generate graph image include
    including label labels make must paragraph picture please produce render screenshot sentence sentences show showing
    shows text use using word words write
    """.split()  # noqa: SIM905 - a list literal would take a line for each word
)


def words(text: str) -> list[str]:
    """Returns the words of a text in lower case, with compounds such as `signInPage` split."""
    normalized = unicodedata.normalize("NFKC", text)
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", normalized))]


def stem(word: str) -> str:
    """Returns a word without a common English suffix: enough for comparisons, not a linguistic stemmer."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM_LENGTH:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def content_words(text: str) -> dict[str, str]:
    """Returns the words of a text by their stems, without numbers, single letters and stop words."""
    candidates = (word for word in words(text) if len(word) > 1 and not word.isdigit() and word not in _STOP_WORDS)
    found: dict[str, str] = {}
    for word in candidates:
        found.setdefault(stem(word), word)
    return found


def is_url(text: str) -> bool:
    """Whether a request is only a URL, which has no words to compare with."""
    return bool(_URL.match(text))


def overlap(one: Collection[str], other: Collection[str]) -> float:
    """Returns the overlap coefficient |A ∩ B| / min(|A|, |B|) (Szymkiewicz–Simpson); 0 when either is empty.

    A long answer to a short request can score high, and so can the reverse. Stems that differ by one misread letter
    count as equal.
    """
    if not one or not other:
        return 0.0
    small, large = sorted((one, other), key=len)
    vocabulary = sorted(large)
    return sum(word in large or _has_similar(word, vocabulary) for word in small) / len(small)


def missing_labels(labels: Iterable[str], lines: Sequence[str]) -> list[str]:
    """Returns the labels that lines of text do not contain, allowing for wrapping, joined words and misread letters."""
    joined = _join_words(" ".join(lines))
    vocabulary = sorted({word for line in lines for word in words(line)})
    return [label for label in labels if not _contains_label(label, joined, vocabulary)]


def _contains_label(label: str, joined: str, vocabulary: Sequence[str]) -> bool:
    joined_label = _join_words(label)
    if not joined_label or joined_label in joined:
        return True
    parts = [word for word in words(label) if len(word) > 1] or words(label)
    found = sum(part in joined or _has_similar(part, vocabulary) for part in parts)
    return found / len(parts) > _MIN_LABEL_SHARE


def _has_similar(word: str, vocabulary: Sequence[str]) -> bool:
    """Whether the vocabulary has the word with a misread letter; words of another length do not count."""
    if len(word) < _MIN_FUZZY_LENGTH:
        return False
    similar_length = [other for other in vocabulary if abs(len(other) - len(word)) <= 1][:_MAX_COMPARED]
    return bool(difflib.get_close_matches(word, similar_length, n=1, cutoff=_MIN_SIMILARITY))


def _join_words(text: str) -> str:
    return "".join(words(text))
