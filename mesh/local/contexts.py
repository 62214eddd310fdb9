"""Finds the contexts that are installed, through their entry points, without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "soma.contexts"


class UnknownContextError(Exception):
    """A context was asked for that is not installed; the text names those that are."""


@dataclass(frozen=True)
class Context:
    """An installed context: its name and what builds it."""

    name: str
    entry: EntryPoint

    @property
    def migrations(self) -> Path | None:
        """Folder of its SQL migrations; None when it keeps no state."""
        spec = find_spec(self.entry.module.partition(".")[0])
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(spec.submodule_search_locations[0]) / "migrations"
        return folder if folder.is_dir() else None


def installed() -> list[Context]:
    """Give the installed contexts, ordered by name."""
    found = {entry.name: Context(entry.name, entry) for entry in entry_points(group=GROUP)}
    return [found[name] for name in sorted(found)]


def named(names: list[str]) -> list[Context]:
    """Give the contexts of these names, all of them for none; raise UnknownContextError."""
    known = {context.name: context for context in installed()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownContextError(f"unknown context {', '.join(unknown)}; installed: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())
