"""Reads parameters of an invocation with their bounds; what is wrong is named by JSON pointer."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from soma_providers.port import ProviderError, invalid_input

if TYPE_CHECKING:
    from soma_providers.port import JsonValue


class Params:
    """A JSON object under `params`, read field by field; every reader raises ProviderError(INVALID_INPUT)."""

    def __init__(self, values: Mapping[str, JsonValue], pointer: str = "") -> None:
        self.values = values
        self.pointer = pointer

    def error(self, name: str, description: str) -> ProviderError:
        """Give the error for one field of this object."""
        return invalid_input(f"{self.pointer}/{name}", description)

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self.values.get(name) is not None

    def reject_unknown(self, *names: str) -> None:
        """Refuse fields other than `names`."""
        for name in self.values:
            if name not in names:
                raise self.error(name, f"is unknown; known are {', '.join(names)}")

    def text(self, name: str, default: str | None = None, *, max_chars: int = 10_000) -> str:
        """Read a text; without a default it is required and not blank."""
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise self.error(name, "is required")
            return default
        if not isinstance(value, str):
            raise self.error(name, "must be a text")
        if default is None and not value.strip():
            raise self.error(name, "must not be empty")
        if len(value) > max_chars:
            raise self.error(name, f"has {len(value)} characters, at most {max_chars} are allowed")
        return clean(value, f"{self.pointer}/{name}")

    def label(self, name: str, default: str | None = None, *, max_chars: int = 300) -> str:
        """Read a short text for a picture: runs of blanks become one, line breaks stay."""
        lines = self.text(name, default, max_chars=max_chars).splitlines()
        return "\n".join(" ".join(line.split()) for line in lines).strip()

    def number(self, name: str, default: float | None = None, *, low: float, high: float) -> float:
        """Read a finite number within [low, high]."""
        value = self.values.get(name, default)
        if value is None:
            value = default
        if value is None:
            raise self.error(name, "is required")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.error(name, "must be a number")
        if not low <= value <= high:
            raise self.error(name, f"must be between {low:g} and {high:g}")
        return float(value)

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """Read a whole number within [low, high]; 3.0 counts as 3, since protobuf has only doubles."""
        value = self.number(name, default, low=low, high=high)
        if not value.is_integer():
            raise self.error(name, "must be a whole number")
        return int(value)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Read true or false."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return value

    def choice(self, name: str, options: Sequence[str], default: str | None = None) -> str:
        """Read one of the options."""
        value = self.text(name, default, max_chars=100)
        if value not in options:
            raise self.error(name, f"must be one of {', '.join(options)}")
        return value

    def object(self, name: str) -> Params:
        """Read a required object."""
        return as_object(self.values.get(name), f"{self.pointer}/{name}")

    def items(self, name: str, *, limit: int) -> Sequence[JsonValue]:
        """Read a list of at most `limit` values; absent is empty."""
        value = self.values.get(name)
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self.error(name, "must be a list")
        if len(value) > limit:
            raise self.error(name, f"has {len(value)} entries, at most {limit} are allowed")
        return value

    def objects(self, name: str, *, limit: int) -> list[Params]:
        """Read a list of objects."""
        entries = self.items(name, limit=limit)
        return [as_object(entry, f"{self.pointer}/{name}/{index}") for index, entry in enumerate(entries)]

    def labels(self, name: str, *, limit: int) -> list[str]:
        """Read a list of short texts."""
        entries = self.items(name, limit=limit)
        one = f"{self.pointer}/{name}"
        return [Params({str(index): entry}, one).label(str(index)) for index, entry in enumerate(entries)]


def as_object(value: JsonValue, pointer: str) -> Params:
    """Take a value for an object."""
    if not isinstance(value, Mapping):
        raise invalid_input(pointer, "is required" if value is None else "must be an object")
    return Params(value, pointer)


def clean(text: str, pointer: str) -> str:
    """Refuse control characters, lone surrogates and unassigned non-characters; line ends become "\\n"."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for character in text:
        if character in "\n\t":
            continue
        if unicodedata.category(character) in {"Cc", "Cs"} or ord(character) & 0xFFFE == 0xFFFE:  # noqa: PLR2004
            raise invalid_input(pointer, f"holds the character U+{ord(character):04X}, which cannot be shown")
    return text
