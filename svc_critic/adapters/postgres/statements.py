"""What the stores need to write statements: filters and ids."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_filters(statement: str, filters: Mapping[str, str]) -> tuple[str, list[str]]:
    """Returns a statement with the filters that have a value, and these values, which are its arguments from $4 on.

    Each set of filters makes a statement of its own, so that the planner can choose the index of its columns.
    """
    used = {column: value for column, value in filters.items() if value}
    conditions = "".join(f" AND {column} = ${number}" for number, column in enumerate(used, 4))
    return statement.format(filters=conditions), list(used.values())


def parse_uuid(text: str) -> UUID | None:
    """Returns an id as a UUID; None for text that is no UUID, and so the id of nothing."""
    try:
        return UUID(text)
    except ValueError:
        return None
