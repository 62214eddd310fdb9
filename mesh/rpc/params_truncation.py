"""Parameters as they are kept and told: whole where they are small, their size and digest in their place otherwise.

Making a Struct of JSON, or JSON of a Struct, takes some microseconds a value, and nothing else on the loop runs then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from heapq import nlargest
from typing import TYPE_CHECKING, cast

from mesh.rpc.wellknown import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.struct_pb2 import Struct
    from pydantic import JsonValue

KEPT_BYTES = 16 << 10
"""Longest parameters that are kept, as canonical JSON: sorted names, no spaces."""
ANSWER_BYTES = 512 << 10
"""Longest parameters of one answer, all of its attempts together."""
OMITTED = "params_omitted"
"""The one name in an object that stands for what was too large."""
_MAX_NOTES = 16
"""Entries of parameters that are left out one by one; if that is not enough, all of them are."""


class ParamsSizeLimit:
    """Room for the parameters of some attempts: each has at most `KEPT_BYTES`, all of them at most `total` bytes."""

    def __init__(self, total: int = KEPT_BYTES) -> None:
        self._remaining = total

    def apply(self, value: Mapping[str, object]) -> Mapping[str, JsonValue]:
        """The object; where there is no room for it, with size and SHA-256 in the place of its largest entries.

        Of an object that has too many entries, size and SHA-256 of all of it. Both are those of the canonical JSON.
        """
        text = _canonical(value)
        room = min(KEPT_BYTES, self._remaining)
        json_value = cast("Mapping[str, JsonValue]", value)
        fitting, size = (json_value, len(text)) if len(text) <= room else _shortened(json_value, text, room)
        self._remaining -= size
        return fitting


def _shortened(value: Mapping[str, JsonValue], text: bytes, room: int) -> tuple[dict[str, JsonValue], int]:
    truncated, size = dict(value), len(text)
    entries = ((name, _canonical(entry)) for name, entry in value.items())
    for name, entry in nlargest(_MAX_NOTES, entries, key=lambda each: len(each[1])):
        truncated[name] = _note(entry)
        size += len(_canonical(truncated[name])) - len(entry)
        if size <= room:
            return truncated, size
    note = _note(text)
    return note, len(_canonical(note))


def _note(text: bytes) -> dict[str, JsonValue]:
    return {OMITTED: {"sha256": hashlib.sha256(text).hexdigest(), "size_bytes": len(text)}}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


async def truncate_params(message: Struct) -> None:
    """Puts, in place, sizes and digests for parameters that are too large to keep; reads large ones in a thread."""
    if message.ByteSize() > KEPT_BYTES:
        await asyncio.to_thread(_truncate_in_place, message)


def _truncate_in_place(message: Struct) -> None:
    value = json_object(message)
    truncated = ParamsSizeLimit().apply(value)
    if truncated is not value:
        message.Clear()
        message.update(truncated)
