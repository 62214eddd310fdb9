"""Locates executables and data files of wheels on disk, without importing their packages."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


class MissingError(Exception):
    """A program or file was not found; the message tells which one and how to get it."""


@dataclass(frozen=True)
class LocatedFile:
    """A program or file on this machine, and what it was installed from."""

    path: Path
    source: str


def in_wheel(package: str, *suffixes: str) -> LocatedFile:
    """Returns the package's file that ends with the first of `suffixes` found; raises MissingError otherwise."""
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        raise MissingError(f"package {package} is not installed: install the extra `local`") from None
    source = f"wheel {package} {installed.version}"
    for suffix in suffixes:
        path = _file(installed, suffix)
        if path is not None:
            return LocatedFile(path, source)
    raise MissingError(f"package {package} {installed.version} holds no file {' or '.join(suffixes)}")


def executable_in_wheel(package: str, *suffixes: str) -> LocatedFile:
    """Returns a program of the package, made executable if its wheel lost the mode."""
    found = in_wheel(package, *suffixes)
    make_executable(found.path)
    return found


def on_path(*names: str) -> LocatedFile | None:
    """Returns the first of the programs that is on PATH."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return LocatedFile(Path(path), "system")
    return None


def make_executable(path: Path) -> None:
    """Sets the executable bits of a file that has none for this user."""
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _file(installed: Distribution, suffix: str) -> Path | None:
    for entry in installed.files or ():
        if entry.as_posix().endswith(suffix):
            path = Path(str(installed.locate_file(entry))).resolve()
            if path.is_file():
                return path
    return None
