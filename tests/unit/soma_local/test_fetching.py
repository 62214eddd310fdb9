"""A piece that cannot be fetched is missing, with what to do; nothing worse."""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from soma_local import locate
from soma_local.locate import MissingError

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home
    from soma_local.locate import Browser

# The package has functions of the same names.
_CHROMIUM, _KAFKA = (importlib.import_module(f"soma_local.locate.{name}") for name in ("chromium", "kafka"))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def _tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def _chromium(home: Home) -> Browser:
    return locate.chromium(home, environ={"PLAYWRIGHT_BROWSERS_PATH": str(home.root / "none")})


def _npm_gives(tools: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let npm answer with the archive, and let it be the expected one."""
    (tools / "archive").write_bytes(archive)
    _tool(tools, "npm", f'for folder; do :; done; exec /bin/cp "{tools}/archive" "$folder/chromium.tgz"')
    monkeypatch.setattr(_CHROMIUM, "_INTEGRITY", base64.b64encode(hashlib.sha512(archive).digest()).decode())


def _archive(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as package:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        package.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def test_an_npm_that_does_not_end_leaves_chromium_missing(
    home: Home, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tools, "npm", "exec /bin/sleep 600")
    monkeypatch.setattr(_CHROMIUM, "_FETCH_TIMEOUT_S", 0.05)
    with pytest.raises(MissingError, match=r"timed out.*set SA01_CHROMIUM"):
        _chromium(home)


@pytest.mark.parametrize(
    "archive",
    [b"no archive", _archive("package/bin/chromium.br", b"no brotli"), _archive("package/nothing", b"")],
    ids=["no archive", "no brotli", "nothing in it"],
)
def test_a_package_that_cannot_be_unpacked_leaves_chromium_missing(
    home: Home, tools: Path, monkeypatch: pytest.MonkeyPatch, archive: bytes
) -> None:
    _npm_gives(tools, archive, monkeypatch)
    with pytest.raises(MissingError, match="set SA01_CHROMIUM"):
        _chromium(home)
    assert [entry.name for entry in home.cache.iterdir()] == [f"chromium-{_CHROMIUM._VERSION}.lock"]


def test_an_npm_that_cannot_be_run_leaves_chromium_missing(home: Home, tools: Path) -> None:
    (tools / "npm").write_bytes(b"\x7fELF, but no program")
    (tools / "npm").chmod(0o755)
    with pytest.raises(MissingError, match="set SA01_CHROMIUM"):
        _chromium(home)


def test_a_cache_that_cannot_be_written_leaves_chromium_missing(home: Home, tools: Path) -> None:
    home.cache.rmdir()
    home.cache.write_text("no folder")
    with pytest.raises(MissingError, match="set SA01_CHROMIUM"):
        _chromium(home)


def test_a_maven_that_does_not_end_leaves_kafka_missing(
    home: Home, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tools, "mvn", "exec /bin/sleep 600")
    monkeypatch.setattr(_KAFKA, "_FETCH_TIMEOUT_S", 0.05)
    with pytest.raises(MissingError, match=r"timed out.*set SA01_KAFKA_JARS"):
        locate.kafka_jars(home, environ={})


def test_a_maven_that_copies_nothing_leaves_kafka_missing(home: Home, tools: Path) -> None:
    _tool(tools, "mvn", "exit 0")
    with pytest.raises(MissingError, match="set SA01_KAFKA_JARS"):
        locate.kafka_jars(home, environ={})
