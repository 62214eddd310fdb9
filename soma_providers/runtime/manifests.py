"""Manifests: the capabilities of providers, in YAML files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from soma_providers.port import Manifest
from soma_providers.runtime import discovery

if TYPE_CHECKING:
    from pathlib import Path

    from soma_providers.port import JsonValue

REQUIRED = ("tool_id", "provider", "kind", "modalities", "task_types")


class ManifestError(Exception):
    """A manifest that cannot be registered; names the file and what is wrong."""


def load(folder: Path) -> list[Manifest]:
    """Every manifest of a folder, ordered by file name; a file may hold several documents."""
    return [
        _manifest(fields, f"{folder.name}/{file.name}")
        for file in sorted(folder.glob("*.yaml"))
        for fields in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def installed() -> list[Manifest]:
    """Every manifest of the installed providers."""
    return [manifest for package in discovery.installed().values() for manifest in load(package.folder)]


def _manifest(fields: JsonValue, name: str) -> Manifest:
    if not isinstance(fields, dict):
        raise ManifestError(f"{name} must hold fields of a capability")
    missing = [field for field in REQUIRED if not fields.get(field)]
    if missing:
        raise ManifestError(f"{name} lacks {', '.join(missing)}")
    tool_id = str(fields["tool_id"])
    return Manifest(tool_id, str(fields["provider"]), str(fields.get("adapter") or tool_id), fields)
