"""The house plan of a context (`docs/adr/0049-house-plan.md`): which file stands where, and what its names look like.

Folders and modules have the same names in every context. `python -m tools.house_plan [svc_x ...]` checks some of them.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PARTS = frozenset(
    {
        "__init__",
        "__main__",
        "adapters",
        "app",
        "bootstrap",
        "context",
        "domain",
        "events",
        "migrations",
        "rpc",
        "settings",
        "workflows",
    }
)
"""What a context consists of; a module that grows becomes a package of the same name."""
_NO_PART = f"this is no part of a context, which consists of {', '.join(sorted(PARTS))}"
EVENTS = frozenset({"__init__", "consumed", "published"})
_POSTGRES = re.compile(r"asyncpg|mesh\.stores\.(?:expired_rows|idempotency|partitions|postgres|retention)")
_CONVERTER = re.compile(r"\w+_(?:to|from)_proto")
_HALF_CONVERTER = re.compile(r"\w+_(?:to|from|message)")
_GENERATED = re.compile(r"pb|\w+_pb2")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def misplaced(name: str, text: str) -> list[str]:
    """What of a module is not where, or not named as, the plan says; `name` is its path in the repository."""
    _context, part, *inner = name.removesuffix(".py").split("/")
    if not inner:
        return [] if part in PARTS else [f"{name}: {_NO_PART}"]
    if part not in PARTS:
        return [f"{name}: {_NO_PART}"]
    tree = ast.parse(text)
    found = [*_wrong_events(part, inner, tree)]
    if part == "adapters":
        found += _wrong_adapters(inner, tree)
    if part == "rpc":
        found += _wrong_rpc(inner, tree)
    return [f"{name}: {problem}" for problem in found]


def _wrong_events(part: str, inner: list[str], tree: ast.Module) -> Iterator[str]:
    if part == "events" and inner[0] not in EVENTS:
        yield "handlers of events stand in events/consumed, what makes events in events/published"
    if [part, inner[0]] != ["events", "published"] and any(_makes_events(node) for node in ast.walk(tree)):
        yield "events are made in events/published"


def _makes_events(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "from_message" and _name_of(node.value) == "Event"


def _wrong_adapters(inner: list[str], tree: ast.Module) -> Iterator[str]:
    if inner[0] == "memory":
        yield "adapters that only tests use stand under tests/"
    if inner[0] != "postgres" and any(_POSTGRES.fullmatch(module) for module in _imported(tree)):
        yield "what speaks to Postgres stands in adapters/postgres"


def _wrong_rpc(inner: list[str], tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for service in filter(None, map(_service_of, node.bases)):
                module = _WORDS.sub("_", service).lower()
                if inner[-1] != module:
                    yield f"{node.name} serves {service} and stands in {module}.py"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _wrong_converter(node, inner[0])


def _wrong_converter(node: ast.FunctionDef | ast.AsyncFunctionDef, module: str) -> Iterator[str]:
    if module == "convert":
        public = not node.name.startswith("_")
        if _HALF_CONVERTER.fullmatch(node.name) or (public and not _CONVERTER.fullmatch(node.name)):
            yield f"{node.name} is a converter: <what>_to_proto or <what>_from_proto"
    elif module != "xds" and (_CONVERTER.fullmatch(node.name) or _is_message(node.returns)):
        yield f"{node.name} is a converter and stands in rpc/convert"


def _is_message(annotation: ast.expr | None) -> bool:
    """Whether a type is one message of generated code, which is imported as `pb` or `<file>_pb2`."""
    return isinstance(annotation, ast.Attribute) and bool(_GENERATED.fullmatch(_name_of(annotation.value)))


def _service_of(base: ast.expr) -> str:
    """The service whose generated servicer a class derives from; empty for another class."""
    name = _name_of(base)
    return name.removesuffix("Servicer") if name.endswith("ServiceServicer") else ""


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def main(contexts: list[str]) -> int:
    """Prints what is out of place in these contexts, in all without any."""
    folders = [ROOT / name for name in contexts] or sorted(ROOT.glob("svc_*"))
    modules = sorted(path for folder in folders for path in folder.rglob("*.py"))
    found = [
        problem
        for path in modules
        for problem in misplaced(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    for problem in found:
        print(problem)
    print(f"house plan: {len(found)} problems in {len(modules)} modules")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
