"""A value that does not leave the process by accident."""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Wraps a secret: its text is a mask, and it can neither be pickled, copied nor made JSON."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The secret itself: use it at once and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        """A mask."""
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        """A mask, whatever the format."""
        return repr(self)

    def __eq__(self, other: object) -> bool:
        """Equal to a secret of the same value, in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other.reveal()))

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied."""
        raise TypeError("a secret cannot be pickled or copied")


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
