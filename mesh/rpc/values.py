"""How many values a request holds, which decides how long it takes to check and to read it, whatever its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import Message

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor

MAX_VALUES = 60_000
"""Most values of a request: with as many, its rules are checked within a few tenths of a second."""
FEW_VALUES = 1_000
_VALUE_BYTES = 2
"""A value within a list has at least so many bytes."""


def count_values(message: Message, most: int = MAX_VALUES) -> int:
    """Returns how many fields and elements a message holds, those of its messages included.

    Counting ends once there are more than `most`, and does not begin where the message is too short for `FEW_VALUES`.
    """
    if message.ByteSize() <= _VALUE_BYTES * FEW_VALUES:
        return 0
    count, waiting = 0, [message]
    while waiting and count <= most:
        for field, value in waiting.pop().ListFields():
            parts = _parts(field, value)
            count += len(parts) if parts is not None else 1
            if count > most:
                break
            if field.message_type is not None:
                held = parts if parts is not None else (value,)
                waiting.extend(part for part in held if isinstance(part, Message))
    return count


def _parts(field: FieldDescriptor, value: object) -> list[object] | None:
    """The elements of a repeated field or the values of a map; None for a single value."""
    if not field.is_repeated:
        return None
    values = getattr(value, "values", None)
    return list(values() if callable(values) and _is_map(field) else value)  # type: ignore[call-overload, no-any-return]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
