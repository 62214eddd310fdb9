"""Commands of the repository say what is wrong, and take nothing away from under what runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with the Makefile and nothing installed."""
    folder = tmp_path / "tree"
    (folder / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "Makefile", folder)
    for name in ("requirements/dev.txt", "requirements/assets.txt", "pyproject.toml"):
        (folder / name).touch()
    return folder


def make(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "SA01_"))}
    return subprocess.run(
        ["make", *words], cwd=tree, env=plain, capture_output=True, text=True, check=False, timeout=60
    )


def program(file: Path, text: str) -> Path:
    """A shell script."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("place", ["old/python3", "tree/.venv/bin/python"])
def test_an_old_python_is_refused_in_one_line_with_advice(tree: Path, tmp_path: Path, place: str) -> None:
    old = program(tmp_path / place, 'case "$1" in -c) exit 1;; *) echo old pip fails; exit 2;; esac')
    done = make(tree, "install", f"PYTHON={old}")
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make: ***")]
    assert done.returncode
    assert len(said) == 1
    assert said[0].startswith("Python 3.11 or later is needed")
    assert "PYTHON=python3.11" in said[0]


def test_this_python_is_new_enough(tree: Path, tmp_path: Path) -> None:
    new = program(tmp_path / "python3", f'case "$1" in -c) exec {sys.executable} "$@";; *) echo goes on; exit 3;; esac')
    assert make(tree, "install", f"PYTHON={new}").stdout == "goes on\n"


@pytest.mark.parametrize("status", [0, 1])
def test_cleaning_stops_the_mesh_of_this_folder_first(tree: Path, tmp_path: Path, status: int) -> None:
    (tree / ".soma").mkdir()
    program(tree / ".venv/bin/soma", f'echo "$@ $SA01_HOME" "$(ls -d .soma .venv)" > {tmp_path}/called; exit {status}')
    done = make(tree, "clean")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text().split() == ["down", str(tree / ".soma"), ".soma", ".venv"]
    assert not (tree / ".soma").exists()
    assert not (tree / ".venv").exists()


def test_cleaning_needs_nothing_installed(tree: Path) -> None:
    assert make(tree, "clean").returncode == 0


def test_locking_without_uv_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "lock.py")],
        env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "uv is not on the path: install it, for example with `pipx install uv`\n",
    )  # fmt: skip
