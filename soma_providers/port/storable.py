"""Texts that Postgres and UTF-8 can hold: of what providers say, U+0000 and lone surrogates become U+FFFD."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soma_providers.port.provider import JsonValue

_NUL = "\x00"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def storable_text(text: str) -> str:
    """The text, each character that cannot be stored replaced."""
    if text.isascii() and _NUL not in text:  # by far the most, and the largest: pictures in base64
        return text
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable(value: JsonValue) -> JsonValue:
    """The value with all its texts and names made storable; a list for any sequence."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return storable_fields(value)
    if isinstance(value, Sequence):
        return [storable(item) for item in value]
    return value


def storable_fields(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """An object with all its texts and names made storable."""
    return {storable_text(name): storable(value) for name, value in fields.items()}
