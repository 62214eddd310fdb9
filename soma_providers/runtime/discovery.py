"""The installed providers: the folders of this library, and the packages of the entry point group `soma.providers`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import soma_providers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

GROUP = "soma.providers"
_ADAPTER = "adapter"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProviderPackage:
    """Where a provider is. `module` has `create(context)`; the YAML files of `folder` are its manifests."""

    adapter: str
    module: str
    folder: Path


def installed() -> dict[str, ProviderPackage]:
    """The installed providers by the names of their adapters. No adapter is imported.

    A folder here wins over an entry point of the same name, and of those the first by its value.
    """
    found = {package.adapter: package for package in _folders()}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package = _package(point)
        if package is None:
            _log.warning("the provider %s is left out: there is no module %s in a package", point.name, point.value)
        elif found.setdefault(point.name, package) != package:
            _log.warning("the provider %s of %s is left out: there is another one", point.name, point.value)
    return found


def _folders() -> Iterator[ProviderPackage]:
    """The folders of this library that have an adapter."""
    for path in soma_providers.__path__:
        for adapter in sorted(Path(path).glob(f"*/{_ADAPTER}.py")):
            folder = adapter.parent
            yield ProviderPackage(folder.name, f"{soma_providers.__name__}.{folder.name}.{_ADAPTER}", folder)


def _package(point: EntryPoint) -> ProviderPackage | None:
    """The provider that an entry point names; None where its module is not there, or is not in a package."""
    try:
        spec = find_spec(point.module)
    except ImportError:
        return None
    if spec is None or spec.origin is None or not (spec.parent or ""):
        return None
    return ProviderPackage(point.name, point.module, Path(spec.origin).parent)
