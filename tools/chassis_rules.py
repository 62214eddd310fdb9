"""Finds generated code that the chassis may not import: of all contracts, only the platform messages are its own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PLATFORM_MESSAGES = (
    "soma.common.v1",
    "soma.events.v1.audit_pb2",
    "soma.events.v1.dead_letter_pb2",
    "soma.events.v1.envelope_pb2",
    "soma.gateway.v1.identity_service_pb2",
    "soma.gateway.v1.identity_service_pb2_grpc",
)
"""What `mesh` may import of `soma`. Of the gateway it uses the streams of revoked and of existing keys."""


def foreign_contracts(name: str, text: str) -> list[str]:
    """The generated modules of others that a file of the chassis imports."""
    if not name.startswith("mesh/"):
        return []
    return sorted({module for module in _imports(ast.parse(text)) if not _may_import(module)})


def _imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported, each name of a `from` import by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _may_import(name: str) -> bool:
    return name.partition(".")[0] != "soma" or f"{name}.".startswith(tuple(f"{own}." for own in PLATFORM_MESSAGES))
