"""Statements that read more than their key names, each with the reason why that does not grow without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REVIEWED: Mapping[str, str] = {
    "SELECT * FROM retention_terms": (
        "a short row for each tenant that has terms of its own; read once a day, since all of them decide what goes"
    ),
    "SELECT 1 FROM nothing": "a rule that a test of retention makes",
}
"""By how the statement begins, its white space folded."""


def is_reviewed(statement: str) -> bool:
    """Whether a statement is among them."""
    return " ".join(statement.split()).startswith(tuple(REVIEWED))
