"""What the clients download is pinned, and what was tampered with is not run."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tools.polyglot import BuildError, check_artifacts

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = ROOT / "clients"
EXACT = re.compile(r"\d+\.\d+\.\d+")


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Two files that are listed in pins/java/artifacts.sha256."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    lines = []
    for name in ("one.jar", "two.exe"):
        (folder / name).write_text(name)
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n")
    pins(folder).parent.mkdir(parents=True)
    pins(folder).write_text("".join(lines))
    return folder


def pins(folder: Path) -> Path:
    return folder.parent / "pins" / "java" / "artifacts.sha256"


def test_artifacts_that_are_as_listed_pass(artifacts: Path) -> None:
    check_artifacts(artifacts, pins(artifacts))


def test_an_artifact_with_other_bytes_is_refused(artifacts: Path) -> None:
    (artifacts / "two.exe").write_text("another")
    with pytest.raises(BuildError, match=r"two\.exe"):
        check_artifacts(artifacts, pins(artifacts))


def test_an_artifact_that_is_not_listed_is_refused(artifacts: Path) -> None:
    (artifacts / "three.jar").write_text("three")
    with pytest.raises(BuildError, match=r"three\.jar"):
        check_artifacts(artifacts, pins(artifacts))


def test_an_artifact_that_is_missing_is_named(artifacts: Path) -> None:
    (artifacts / "one.jar").unlink()
    with pytest.raises(BuildError, match=r"one\.jar"):
        check_artifacts(artifacts, pins(artifacts))


def test_every_npm_package_is_pinned_by_hash_and_names_no_address() -> None:
    lock = json.loads((CLIENTS / "typescript" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert [name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_direct_dependencies_in_typescript_have_one_version_each() -> None:
    package = json.loads((CLIENTS / "typescript" / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    assert {name: version for name, version in wanted.items() if not EXACT.fullmatch(version)} == {}


def test_every_dependency_in_java_has_a_version_and_is_listed_by_hash() -> None:
    pom = (CLIENTS / "java" / "pom.xml").read_text()
    listed = (CLIENTS / "java" / "artifacts.sha256").read_text()
    properties = dict(re.findall(r"<([\w.]+\.version)>([\d.]+)</", pom))
    found = re.findall(
        r"<dependency>.*?<artifactId>([\w-]+)</artifactId>.*?<version>([^<]+)</version>.*?</dependency>", pom, re.DOTALL
    )
    assert len(found) == pom.count("<dependency>")
    for name, version in found:
        exact = properties.get(version.strip("${}"), version)
        assert EXACT.fullmatch(exact), name
        assert f"  {name}-{exact}" in listed
