"""Between an enum of the contracts and the names that a service has for its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

V = TypeVar("V", bound=int)
_UNSPECIFIED = "UNSPECIFIED"


class EnumCodec(Generic[V]):
    """A name is that of the value without the prefix of its enum: PENDING of JOB_STATE_PENDING.

    The value 0, which every enum calls UNSPECIFIED, has the name "", and so has a number that this version does not
    know.
    """

    def __init__(self, enum: _EnumTypeWrapper[V]) -> None:
        prefix = enum.keys()[0].removesuffix(_UNSPECIFIED)
        self._numbers = {name.removeprefix(prefix): number for name, number in enum.items()}
        named = self._numbers.items()
        self._names: dict[int, str] = {int(number): name for name, number in named if name != _UNSPECIFIED}
        self._numbers[""] = self._numbers[_UNSPECIFIED]

    def number(self, name: str) -> V:
        """The value of that name, in upper or lower case; KeyError when there is none."""
        return self._numbers[name.upper()]

    def name(self, number: int) -> str:
        """The name of a value, in upper case."""
        return self._names.get(number, "")
