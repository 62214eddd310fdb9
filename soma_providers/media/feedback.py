"""What the critic's feedback asks of a producer, read from its codes and hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soma_providers.port import Feedback

SHARPER = frozenset({"RESOLUTION_TOO_LOW", "BLURRED", "TEXT_ILLEGIBLE"})
CONTRAST = frozenset({"LOW_CONTRAST"})
SHORTER = frozenset({"TOO_LONG"})
LONGER = frozenset({"TOO_SHORT", "CUT_OFF"})


def has_code(feedback: Iterable[Feedback], codes: frozenset[str]) -> bool:
    """Say whether any of the codes was given."""
    return any(entry.code in codes for entry in feedback)


def max_hint(feedback: Iterable[Feedback], hint: str, default: float = 0.0) -> float:
    """Give the largest number hinted at under a name, at least `default`."""
    numbers = [entry.hint.get(hint) for entry in feedback]
    return max([default, *(float(number) for number in numbers if isinstance(number, (int, float)))])


def messages(feedback: Iterable[Feedback]) -> str:
    """Give the critic's words, one sentence after the other."""
    return " ".join(entry.message.strip() for entry in feedback if entry.message.strip())
