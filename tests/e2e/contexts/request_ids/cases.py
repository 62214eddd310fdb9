"""A case of each method whose request has an id, as the contexts bring them in `tests/e2e/<name>/request_ids.py`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mesh.contexts import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from tests.e2e.contexts.request_ids.api import Api, Case


def _modules() -> Iterator[ModuleType]:
    for context in installed():
        folder = f"tests.e2e.{context.name}"
        if find_spec(folder) is not None and find_spec(f"{folder}.request_ids") is not None:
            yield import_module(f"{folder}.request_ids")


CASES: Mapping[str, Callable[[Api], Case]] = {
    name: case for module in _modules() for name, case in module.CASES.items()
}
WITHOUT: Mapping[str, str] = {
    name: why for module in _modules() for name, why in getattr(module, "WITHOUT", {}).items()
}
"""Methods whose id does not make them idempotent, and why."""
