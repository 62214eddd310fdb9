"""How many values a request holds, which decides how long it takes to check and to read it, whatever its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

MAX_VALUES = 60_000
"""Most values of a request: with as many, its rules are checked within a few tenths of a second."""
FEW_VALUES = 1_000
_JSON_VALUE = "google.protobuf.Value"
"""The message of a value, whose one field says its kind."""
_VALUE_BYTES = 2
"""A value within a list has at least so many bytes."""


def count_values(message: Message, most: int = MAX_VALUES) -> int:
    """Returns how many fields and elements a message holds, those of its messages included; a value of JSON is one.

    Counting ends once there are more than `most`, and does not begin where the message is too short for `FEW_VALUES`.
    """
    if message.ByteSize() <= _VALUE_BYTES * FEW_VALUES:
        return 0
    count, waiting = 0, [message]
    while waiting and count <= most:
        held = waiting.pop()
        single = 0 if held.DESCRIPTOR.full_name == _JSON_VALUE else 1
        for field, value in held.ListFields():
            count += len(value) if field.is_repeated else single
            if count > most:
                # Before the elements are looked at: each would become an object.
                break
            if field.message_type is not None:
                waiting.extend(_messages(field.message_type, value) if field.is_repeated else (value,))
    return count


def _messages(kind: Descriptor, value: Any) -> Iterator[Message]:  # noqa: ANN401  a list or a map of any field
    if not kind.GetOptions().map_entry:
        yield from value
    elif kind.fields_by_name["value"].message_type is not None:
        yield from value.values()
