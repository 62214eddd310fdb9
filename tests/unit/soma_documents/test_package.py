"""The library is installed with its templates."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from hatchling.build import build_wheel

import soma_documents

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def test_the_wheel_carries_every_file_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names = zipfile.ZipFile(tmp_path / build_wheel(str(tmp_path))).namelist()
    folder = Path(next(iter(soma_documents.__path__)))
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} == {".py", ".j2", ".css", ".typ"}
    assert {path.relative_to(folder.parent).as_posix() for path in files} <= set(names)
