"""Conditions of listings. Each set of filters is a statement of its own, planned by the index that bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def where(first: int, *conditions: tuple[object, ...]) -> tuple[str, Sequence[object]]:
    """The conditions whose first value is neither None nor "", each after an AND, and their values.

    A condition is a text with a place `{}` for each of its values; they are numbered from `$first` on. One that is left
    to the statement, such as `$2 IS NULL OR sequence < $2`, is no bound of an index in a plan for all values.
    """
    text = ""
    values: list[object] = []
    for condition, *given in conditions:
        if given[0] in {None, ""}:
            continue
        places = (f"${first + len(values) + place}" for place in range(len(given)))
        text += f" AND {str(condition).format(*places)}"
        values.extend(given)
    return text, values
