"""Takes personal data and secrets out of what is kept: structured kinds, found by pattern and check digit.

Card numbers pass Luhn (ISO/IEC 7812-1), IBANs mod 97 (ISO 13616), so that other long numbers stay. What is wrapped in
base64, hex, percent or JSON escapes is looked at as well.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64decode
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import JsonValue

SUMMARY_CHARS = 500


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
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPE = re.compile(r"\\u00([0-9a-fA-F]{2})")
_NOT_IN_WORD = r"(?<![A-Za-z0-9_-])"
_PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (kind, re.compile(pattern), check)
    for kind, pattern, check in (
        ("private_key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", bool),
        ("token", _NOT_IN_WORD + r"(?:soma_[a-z0-9-]+_)?eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", bool),
        (
            "key",
            _NOT_IN_WORD + r"(?i:(?:sk|pk|rk|gh[pousr]|xox[abp]|hv[sb]|glpat)[-_.]|AKIA|ASIA|AIza)[A-Za-z0-9_-]{16,}",
            bool,
        ),
        ("email", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}", bool),
        ("iban", r"(?i:\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,7}(?:\s?[A-Z0-9]{1,3})?\b)", iban),
        ("card", r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])", _card),
        ("ssn", r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])", bool),
        ("phone", r"(?<![\w.+-])\+\d{1,3}(?:[ .-]?\(?\d{1,6}\)?){2,5}(?![\w-])", bool),
        ("phone", r"(?<![\w.+-])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?![\w-])", bool),
    )
)


@dataclass
class Redactor:
    """Redacts texts and counts, by kind, what it took out."""

    counts: Counter[str] = field(default_factory=Counter)

    def text(self, value: str) -> str:
        """The text with each find replaced by `[kind]`; ids of ours stay, whatever their digits look like."""
        return "".join(part if _UUID.fullmatch(part) else self._part(part) for part in _UUID.split(value))

    def _wrapped(self, word: str) -> str:
        """A word, or what is found in it when it is unwrapped."""
        for plain in _unwrapped(word):
            inner = Redactor()
            if inner._plain(plain) != plain:
                self.counts.update(inner.counts)
                return "".join(f"[{kind}]" for kind in inner.counts)
        return word

    def _part(self, value: str) -> str:
        return _WORD.sub(lambda word: self._wrapped(word[0]), self._plain(value))

    def _plain(self, value: str) -> str:
        for kind, pattern, check in _PATTERNS:
            value = pattern.sub(self._replacer(kind, check), value)
        return value

    def _replacer(self, kind: str, check: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            if not check(match[0]):
                return match[0]
            self.counts[kind] += 1
            return f"[{kind}]"

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
