"""Takes personal data and secrets out of what is kept: structured kinds, found by pattern and check digit.

Card numbers pass Luhn (ISO/IEC 7812-1), IBANs mod 97 (ISO 13616), so that other long numbers stay. What is wrapped in
base64, hex, percent or JSON escapes is looked at as well.

The time is linear in the length of a text: each pattern starts once in a run of characters, its quantifiers are bounded
or possessive. A redactor scans `SCANNED_CHARS` characters, which takes some 50 ms; what goes beyond is not passed on.
Handlers on an event loop need no more care; `redact_large` scans more, in a thread.
"""

from __future__ import annotations

import asyncio
import binascii
import re
from base64 import b64decode, urlsafe_b64decode
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import JsonValue

T = TypeVar("T")
SUMMARY_CHARS = 500
SCANNED_CHARS = 1 << 16
"""Characters that a redactor scans unless it is told otherwise: what may be scanned on an event loop."""
LARGE_CHARS = 1 << 20
"""Characters that a redactor may scan in a thread."""
_TEXT_COST = 16
"""Characters that a text costs beside its own: many short texts take their time, too."""


def luhn(digits: str) -> bool:
    """True when the check digit of a number fits."""
    total = 0
    for place, digit in enumerate(int(char) for char in reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - cross sum of a two-digit number
    return total % 10 == 0


def iban(text: str) -> bool:
    """True when the check digits of an IBAN fit."""
    plain = re.sub(r"\s", "", text)
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and luhn(digits)  # noqa: PLR2004 - lengths of ISO/IEC 7812


_UUID = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_WORD = re.compile(r"[^\s\"'<>(){}\[\],;&|]+")
_UNSPACED = re.compile(r"\S+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPE = re.compile(r"\\u00([0-9a-fA-F]{2})")
_DIGIT = re.compile(r"\d")
_SHORTEST = 4
"""Characters of the shortest find, a phone number."""
_NOT_IN_WORD = r"(?<![A-Za-z0-9_-])"
_B64URL = r"[A-Za-z0-9_-]"
_LOCAL = r"[A-Za-z0-9._%+-]"


@dataclass(frozen=True)
class _Kind:
    """What is looked for: texts without `mark` hold none; `check` tells finds from what only looks alike."""

    name: str
    pattern: re.Pattern[str]
    mark: str = ""
    check: Callable[[str], bool] = bool


_KINDS = (
    _Kind(
        "private_key",
        re.compile(r"-----BEGIN [A-Z ]{0,64}?PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,64}?PRIVATE KEY-----|\Z)"),
        "-----BEGIN ",
    ),
    _Kind(
        "token",
        re.compile(_NOT_IN_WORD + rf"(?:soma_[a-z0-9-]++_)?eyJ{_B64URL}{{8,}}+\.{_B64URL}{{8,}}+\.{_B64URL}{{8,}}+"),
        "eyJ",
    ),
    _Kind(
        "key",
        re.compile(
            _NOT_IN_WORD + r"(?ia:(?:sk|pk|rk|gh[pousr]|xox[abp]|hv[sb]|glpat)[-_.]|AKIA|ASIA|AIza)[A-Za-z0-9_-]{16,}+"
        ),
    ),
    # Every run of characters is consumed as a whole, an address or not: none is looked at twice.
    _Kind(
        "email",
        re.compile(rf"{_LOCAL}++(?:@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{{2,}})?"),
        "@",
        lambda found: "@" in found,
    ),
    _Kind("iban", re.compile(r"(?ia:\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?\b)"), check=iban),
    _Kind("card", re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), check=_card),
    _Kind("ssn", re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"), "-"),
    _Kind("phone", re.compile(r"(?<![\w.+-])\+\d(?:\)?[ .-]?\(?\d){2,32}\)?(?![\w-])"), "+"),
    _Kind("phone", re.compile(r"(?<![\w.+-])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?![\w-])")),
)


@dataclass
class Redactor:
    """Redacts texts and counts, by kind, what it took out.

    It scans `limit` characters in all; the rest is replaced by a marker that tells its length.
    """

    counts: Counter[str] = field(default_factory=Counter)
    limit: int = SCANNED_CHARS

    def text(self, value: str) -> str:
        """The text with each find replaced by `[kind]`; ids of ours stay, whatever their digits look like."""
        if not value:
            return value
        head = _head(value, self.limit)
        self.limit = max(0, self.limit - len(value) - _TEXT_COST)
        redacted = self.scan(head) if head else ""
        left = len(value) - len(head)
        return f"{redacted}[truncated {left} characters]" if left else redacted

    def scan(self, value: str) -> str:
        """The text with each find replaced, whatever its length; for subclasses that find more kinds."""
        return "".join(part if _UUID.fullmatch(part) else self._part(part) for part in _UUID.split(value))

    def _wrapped(self, word: str) -> str:
        """A word, or what is found in it when it is unwrapped."""
        for plain in _unwrapped(word):
            if len(plain) < _SHORTEST:
                continue
            inner = Redactor()
            if inner._plain(plain) != plain:
                self.counts.update(inner.counts)
                return "".join(f"[{kind}]" for kind in inner.counts)
        return word

    def _part(self, value: str) -> str:
        return _WORD.sub(lambda word: self._wrapped(word[0]), self._plain(value))

    def _plain(self, value: str) -> str:
        for kind in _KINDS:
            if kind.mark in value:
                value = kind.pattern.sub(self._replacer(kind), value)
        return value

    def _replacer(self, kind: _Kind) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            if not kind.check(match[0]):
                return match[0]
            self.counts[kind.name] += 1
            return f"[{kind.name}]"

        return replace

    def value(self, value: JsonValue) -> JsonValue:
        """A JSON value with all of its texts redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return self.object(value)
        return value

    def object(self, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """A JSON object with all of its texts redacted, keys included."""
        return {self.text(key): self.value(item) for key, item in value.items()}

    def summary(self, prompt: str) -> str:
        """The first 500 characters of a redacted prompt, on one line."""
        flat = " ".join(self.text(prompt).split())
        return flat if len(flat) <= SUMMARY_CHARS else flat[: SUMMARY_CHARS - 1] + "…"


async def redact_large(work: Callable[[], T], chars: int) -> T:
    """What `work` gives, which scans so many characters with redactors of its own: in a thread when that takes long.

    Give these redactors the limit `LARGE_CHARS`.
    """
    return work() if chars <= SCANNED_CHARS else await asyncio.to_thread(work)


def _head(value: str, limit: int) -> str:
    """As much of a text as may be scanned, cut where nothing that could be found is cut in two."""
    if len(value) <= limit:
        return value
    end = limit
    for word in reversed(list(_UNSPACED.finditer(value, 0, limit))):
        whole = word.end() < limit or value[limit].isspace()
        if whole and not _DIGIT.search(word[0]):  # a number may be written in groups
            break
        end = word.start()
    return value[:end]


def _unwrapped(word: str) -> Iterator[str]:
    """What a word may stand for, in the encodings that text is usually passed on in."""
    if "%" in word:
        yield unquote_plus(word)
    if "\\u00" in word:
        yield _ESCAPE.sub(lambda match: chr(int(match[1], 16)), word)
    for found in _HEX.finditer(word):
        yield from _text(bytes.fromhex(found[0]))
    for found in _BASE64.finditer(word):
        padded = found[0].rstrip("=") + "=" * (-len(found[0].rstrip("=")) % 4)
        try:
            yield from _text(urlsafe_b64decode(padded) if "-" in padded or "_" in padded else b64decode(padded))
        except (binascii.Error, ValueError):
            continue


def _text(content: bytes) -> Iterator[str]:
    """Bytes that are printable text."""
    text = content.decode("utf-8", "replace")
    if text.replace("\n", " ").replace("\r", " ").isprintable() and "\ufffd" not in text:
        yield text
