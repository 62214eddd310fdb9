"""Words of requests and of results, and how far they agree."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ADDRESS = re.compile(r"^\s*[a-z][a-z0-9+.-]*://\S+\s*$", re.IGNORECASE)
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")
_SHORTEST_STEM = 3
_SHORTEST_FUZZY = 5
_FUZZY = 0.8
_MOST_COMPARED = 5_000
_MOST_OF_A_LABEL = 0.6

# Words that say nothing of what a result is about: the commonest of English, and those of instructions.
_EMPTY_WORDS = frozenset(
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
    """The words of a text in lower case, compounds such as `signInPage` taken apart."""
    plain = unicodedata.normalize("NFKC", text)
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", plain))]


def stem(word: str) -> str:
    """A word without its commonest English ending: near enough to compare by, not linguistics."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def topics(text: str) -> dict[str, str]:
    """The words that carry meaning, by their stems: no numbers, no single letters, no empty words."""
    telling = (word for word in words(text) if len(word) > 1 and not word.isdigit() and word not in _EMPTY_WORDS)
    found: dict[str, str] = {}
    for word in telling:
        found.setdefault(stem(word), word)
    return found


def is_address(text: str) -> bool:
    """Whether a request is nothing but an address, which says no words to compare with."""
    return bool(_ADDRESS.match(text))


def overlap(one: Collection[str], other: Collection[str]) -> float:
    """The overlap coefficient |A ∩ B| / min(|A|, |B|) (Szymkiewicz–Simpson); 0 when either is empty.

    It forgives a long answer to a short request, and a short label of a long one. Stems that differ by a misread letter
    count as the same.
    """
    if not one or not other:
        return 0.0
    small, large = sorted((one, other), key=len)
    pool = sorted(large)
    return sum(word in large or _nearly(word, pool) for word in small) / len(small)


def missing(labels: Iterable[str], lines: Sequence[str]) -> list[str]:
    """The labels that cannot be found in lines of text, however they are wrapped, joined or slightly misread."""
    joined = _solid(" ".join(lines))
    pool = sorted({word for line in lines for word in words(line)})
    return [label for label in labels if not _is_there(label, joined, pool)]


def _is_there(label: str, joined: str, pool: Sequence[str]) -> bool:
    solid = _solid(label)
    if not solid or solid in joined:
        return True
    parts = [word for word in words(label) if len(word) > 1] or words(label)
    found = sum(part in joined or _nearly(part, pool) for part in parts)
    return found / len(parts) > _MOST_OF_A_LABEL


def _nearly(word: str, pool: Sequence[str]) -> bool:
    """Whether the pool has the word with a letter misread: words of other lengths are other words."""
    if len(word) < _SHORTEST_FUZZY:
        return False
    alike = [other for other in pool if abs(len(other) - len(word)) <= 1][:_MOST_COMPARED]
    return bool(difflib.get_close_matches(word, alike, n=1, cutoff=_FUZZY))


def _solid(text: str) -> str:
    return "".join(words(text))
