"""Where the ports of a context stand: in `app/ports.py`, or in a package of that name."""

from __future__ import annotations

import ast
import re

_INSIDE = re.compile(r"svc_\w+/(?:domain/|app/(?!ports(?:\.py$|/)))")


def misplaced_ports(name: str, text: str) -> list[str]:
    """The ports that a module of `domain` or `app` declares, other than `app/ports`.

    A port is a Protocol with an asynchronous method: rules and values wait for nothing. `name` is the path of the
    module, relative to the repository.
    """
    if not _INSIDE.match(name) or "Protocol" not in text:
        return []
    return [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and _is_protocol(node) and _waits(node)
    ]


def _is_protocol(node: ast.ClassDef) -> bool:
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases)


def _waits(node: ast.ClassDef) -> bool:
    return any(isinstance(part, ast.AsyncFunctionDef) for part in node.body)
