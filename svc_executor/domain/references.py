"""References in params: `${step.asset}`, `${step.text}` and `${asset:<id>}`; `$${` writes a plain `${`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from soma_providers.port import JsonValue

# It begins with letters that stand for themselves: one with `\$?` before them is tried at every place of a text, which
# for some megabytes holds the interpreter for tenths of a second.
_ANY_REFERENCE = re.compile(r"\$\{[^{}]*\}?")
_STEP_REFERENCE = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_-]{0,62})\.(asset|text)\}")
_ASSET_REFERENCE = re.compile(r"\$\{asset:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}")


class ReferenceKind(StrEnum):
    """What a reference stands for."""

    STEP_ASSET = "asset"
    STEP_TEXT = "text"
    STORED_ASSET = "stored"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Reference:
    """One reference: `target` is a task id or an asset id, `is_entire_text` whether it is all of its text."""

    pointer: str
    kind: ReferenceKind
    target: str
    is_entire_text: bool
    text: str


def references(params: JsonValue, pointer: str = "") -> Iterator[Reference]:
    """Every reference in a value, with JSON pointers below `pointer`."""
    if isinstance(params, str):
        yield from _in_text(params, pointer)
        return
    for key, value in _children(params):
        yield from references(value, f"{pointer}/{escape(key)}")


def count_placeholders(params: JsonValue) -> int:
    """How many `${` a value holds, escaped ones included: so many places are looked at whenever it is resolved."""
    if isinstance(params, str):
        return params.count("${")
    return sum(count_placeholders(value) for _, value in _children(params))


def resolve(params: JsonValue, text_of: Callable[[str], str]) -> JsonValue:
    """The value with references replaced: texts by `text_of(task id)`, assets by the name of their input."""
    if isinstance(params, str):
        return _resolve_text(params, text_of)
    if isinstance(params, (list, tuple)):
        return [resolve(value, text_of) for value in params]
    if isinstance(params, dict):
        return {key: resolve(value, text_of) for key, value in params.items()}
    return params


def resolve_params(params: Mapping[str, JsonValue], text_of: Callable[[str], str]) -> dict[str, JsonValue]:
    """`resolve` for the params of a task."""
    return {key: resolve(value, text_of) for key, value in params.items()}


def stored_input(asset_id: str) -> str:
    """Name of the input that an existing asset is given to a provider under."""
    return f"asset:{asset_id}"


def escape(token: str) -> str:
    """One token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")


def _children(value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield str(index), item
    elif isinstance(value, dict):
        yield from value.items()


def _in_text(text: str, pointer: str) -> Iterator[Reference]:
    for start, end in _reference_ranges(text):
        text_of_reference = text[start:end]
        kind, target = _parse(text_of_reference)
        yield Reference(pointer, kind, target, is_entire_text=text_of_reference == text, text=text_of_reference)


def _resolve_text(text: str, text_of: Callable[[str], str]) -> str:
    parts, position = [], 0
    for start, end in _reference_ranges(text, escapes=True):
        if text[start] == text[start + 1]:  # an escape, which loses its first dollar
            parts.append(text[position:start])
            position = start + 1
        else:
            parts += (text[position:start], _replacement(text[start:end], text_of))
            position = end
    return "".join((*parts, text[position:])) if parts else text


def _reference_ranges(text: str, *, escapes: bool = False) -> Iterator[tuple[int, int]]:
    """Where references begin and end, with `escapes` also what is written with one more dollar to be none."""
    last = 0
    for match in _ANY_REFERENCE.finditer(text):
        start, end = match.span()
        if start > last and text[start - 1] == "$":
            if escapes:
                yield start - 1, end
        else:
            yield start, end
        last = end


def _parse(text_of_reference: str) -> tuple[ReferenceKind, str]:
    if step := _STEP_REFERENCE.fullmatch(text_of_reference):
        return ReferenceKind(step.group(2)), step.group(1)
    if stored := _ASSET_REFERENCE.fullmatch(text_of_reference):
        return ReferenceKind.STORED_ASSET, stored.group(1)
    return ReferenceKind.MALFORMED, ""


def _replacement(text_of_reference: str, text_of: Callable[[str], str]) -> str:
    kind, target = _parse(text_of_reference)
    if kind is ReferenceKind.STEP_TEXT:
        return text_of(target)
    return stored_input(target) if kind is ReferenceKind.STORED_ASSET else target
