"""Manifests: the capabilities of this process, one YAML file each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from svc_executor.domain.peers import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from svc_executor.domain.provider import JsonValue

REQUIRED = ("tool_id", "provider", "kind", "modalities", "task_types")


class ManifestError(Exception):
    """A manifest that cannot be registered; names the file and what is wrong."""


def load(folder: Path) -> list[Manifest]:
    """Every manifest of a folder, ordered by file name; a file may hold several documents."""
    return [
        _manifest(fields, file.name)
        for file in sorted(folder.glob("*.yaml"))
        for fields in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def _manifest(fields: JsonValue, name: str) -> Manifest:
    if not isinstance(fields, dict):
        raise ManifestError(f"{name} must hold fields of a capability")
    missing = [field for field in REQUIRED if not fields.get(field)]
    if missing:
        raise ManifestError(f"{name} lacks {', '.join(missing)}")
    tool_id = str(fields["tool_id"])
    return Manifest(tool_id, str(fields["provider"]), str(fields.get("adapter") or tool_id), fields)
