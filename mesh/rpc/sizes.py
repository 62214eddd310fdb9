"""How much of a list one message takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

MESSAGE_BYTES = 1024 * 1024
"""From where on a message takes no more; one entry that is larger goes alone."""
M = TypeVar("M", bound=Message)


def within_bytes(entries: Iterable[M], limit: int = MESSAGE_BYTES) -> list[M]:
    """The first entries that so many bytes of a message take; at least one of any. Makes none behind those."""
    found: list[M] = []
    size = 0
    for entry in entries:
        size += entry.ByteSize()
        if found and size > limit:
            break
        found.append(entry)
    return found
