"""Conditions of lists. Each set of filters is a statement of its own, planned with the index that bounds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def where(first: int, *conditions: tuple[object, ...]) -> tuple[str, Sequence[object]]:
    """Returns the conditions whose first value is neither None nor "", each after an AND, and their values.

    A condition is a text with a placeholder `{}` for each of its values, which are numbered from `$first` on. A
    condition such as `$2 IS NULL OR sequence < $2` in the statement would bound no index in a generic plan.
    """
    text = ""
    values: list[object] = []
    for condition, *condition_values in conditions:
        if condition_values[0] in {None, ""}:
            continue
        placeholders = (f"${first + len(values) + offset}" for offset in range(len(condition_values)))
        text += f" AND {str(condition).format(*placeholders)}"
        values.extend(condition_values)
    return text, values
