"""Words that no name in the code contains, each with what the field calls it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = {
    "bed": "retry slot",
    "beds": "retry slots",
    "bell": "notifier",
    "bells": "notifiers",
    "borne": "covered",
    "brief": "context",
    "bury": "dead-letter",
    "deed": "audit action",
    "deeds": "audit actions",
    "doer": "audit actor",
    "doers": "audit actors",
    "hearsay": "unconfirmed",
    "nurse": "retry",
    "nursed": "retried",
    "nursing": "retry",
    "ordeal": "test",
    "patience": "timeout",
    "shelf": "index",
    "sift": "filter",
    "specimen": "asset",
    "stray": "unassigned",
    "strays": "unassigned",
    "undecided": "unsettled",
    "undertaker": "dead letter publisher",
    "undertaking": "dead letter publisher",
    "untold": "unreported",
    "unwell": "unhealthy",
    "ward": "test",
    "workshop": "provider runtime",
}
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def find_banned_words(text: str) -> list[str]:
    """For each name in a Python source that contains such a word: the name, and what it could be."""
    found = {
        f"{name}: {word} is {PLAIN[word]}"
        for name in _defined(ast.parse(text))
        for word in (part.lower() for part in _PARTS.findall(name))
        if word in PLAIN
    }
    return sorted(found)


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
