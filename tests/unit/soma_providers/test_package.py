"""The library is installed with its manifests."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from hatchling.build import build_wheel

from soma_providers.runtime import discovery

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def test_the_wheel_carries_every_provider_with_its_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))).namelist()
    folders = [package.folder for package in discovery.installed().values()]
    assert all([*folder.glob("*.yaml")] for folder in folders)
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".yaml"}]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= set(names)
