"""How many values a request holds, which decides how long it takes to check and to read it, whatever its bytes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

MAX_VALUES = 60_000
"""Most values of a request: with as many, its rules are checked within a few tenths of a second."""
FEW_VALUES = 1_000
_JSON_OBJECT = "google.protobuf.Struct"
_JSON_VALUE = "google.protobuf.Value"
_CONTAINERS = ("struct_value", "list_value")
_VALUE_BYTES = 2
"""A value within a list has at least so many bytes."""


def count_values(message: Message, limit: int = MAX_VALUES) -> int:
    """Returns how many fields and elements a message holds, those of its messages included; a value of JSON is one.

    Counting ends once there are more than `limit`, and does not begin where the message is too short for `FEW_VALUES`.
    """
    if message.ByteSize() <= _VALUE_BYTES * FEW_VALUES:
        return 0
    count, waiting = 0, [message]
    while waiting and count <= limit:
        for field, value in waiting.pop().ListFields():
            count += len(value) if field.is_repeated else 1
            if count > limit:
                # Before the elements are looked at: each would become an object.
                break
            if field.message_type is not None:
                waiting.extend(_messages(field.message_type, value if field.is_repeated else (value,)))
    return count


def _messages(kind: Descriptor, values: Any) -> Iterable[Message]:  # noqa: ANN401  a list or a map of any field
    """What counts of the messages of a field: of values of JSON the objects and lists among them."""
    if kind.GetOptions().map_entry:
        message = kind.fields_by_name["value"].message_type
        return () if message is None else _messages(message, values.values())
    if kind.full_name != _JSON_VALUE:
        return cast("Iterable[Message]", values)
    return [getattr(value, held) for value in values if (held := value.WhichOneof("kind")) in _CONTAINERS]


def without_json(message: Message) -> Message:
    """A copy in which the JSON objects are empty, of which a contract has no rules; the message itself if it has none.

    Those in lists and maps of messages are kept.
    """
    paths = _json_paths(message.DESCRIPTOR)
    if not any(_at(message, path) for path in paths):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    for path in paths:
        found = _at(copy, path)
        if found is not None:
            found.Clear()
    return copy


def _at(message: Message, path: Sequence[str]) -> Message | None:
    """The message of a field of a field; None where one of them is not set."""
    for name in path:
        if not message.HasField(name):
            return None
        message = getattr(message, name)
    return message


@cache
def _json_paths(kind: Descriptor, above: tuple[Descriptor, ...] = ()) -> tuple[tuple[str, ...], ...]:
    """The names of the fields that lead to each JSON object of a message, through fields of one message each."""
    paths: list[tuple[str, ...]] = []
    for field in kind.fields:
        held = field.message_type
        if held is None or field.is_repeated or held in above:
            continue
        if held.full_name == _JSON_OBJECT:
            paths.append((field.name,))
        else:
            paths += [(field.name, *rest) for rest in _json_paths(held, (*above, kind))]
    return tuple(paths)
