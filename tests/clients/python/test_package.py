"""The package stands alone: nothing of the server, typed, with its licence, and built as a wheel that works."""

from __future__ import annotations

import filecmp
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, files, requires, version
from pathlib import Path

import pytest
from hatchling.build import build_wheel
from packaging.requirements import Requirement

import soma_client

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "clients" / "python"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WALK = """
import importlib, json, pkgutil, sys
import soma_client
for found in pkgutil.walk_packages(soma_client.__path__, "soma_client."):
    importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""
SERVER = re.compile(r"(mesh|svc_\w+|soma|gen|policy|google|grpclib|envoy_data_plane)(\.|$)")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PACKAGE)
        return folder / build_wheel(str(folder))


def imported(*paths: Path, folder: Path, plain: bool = False) -> set[str]:
    """Names of all modules once everything in the package is imported, in a fresh interpreter; `plain`: from `paths`
    and the standard library alone."""
    program = f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n{WALK}"
    done = subprocess.run(
        [sys.executable, "-I", *(["-S"] if plain else []), "-W", "error", "-c", program],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(re.findall(r'"([^"]+)"', done.stdout))


def dependencies(texts: list[str]) -> set[str]:
    """Names of the distributions that these requirements bring, their own ones included."""
    needed = [Requirement(text) for text in texts]
    names = {item.name for item in needed if item.marker is None or item.marker.evaluate({"extra": ""})}
    return names.union(*(dependencies(requires(name) or []) for name in names))


def test_nothing_of_the_server_is_imported(tmp_path: Path) -> None:
    modules = imported(PACKAGE, folder=tmp_path)
    assert "soma_client.gen.soma.executor.v1" in modules
    assert sorted(name for name in modules if SERVER.match(name)) == []


def test_the_wheel_carries_types_rules_and_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"soma_client/py.typed", "soma_client/gen/service_config.json"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0] for name in names} == {
        "soma_client",
        f"soma_client-{soma_client.__version__}.dist-info",
    }


def test_the_wheel_works_with_its_dependencies_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in dependencies(PROJECT["dependencies"]):
        for top in {file.parts[0] for file in files(name) or [] if file.parts[0] not in {"..", "__pycache__"}}:
            (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    assert "soma_client.jobs" in imported(wheel, site, folder=tmp_path, plain=True)


def test_the_installed_versions_are_those_that_the_package_asks_for() -> None:
    for text in PROJECT["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(version(requirement.name)), text


def test_the_licence_is_that_of_the_mesh() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert filecmp.cmp(PACKAGE / "LICENSE", ROOT / "LICENSE", shallow=False)


def test_the_changelog_has_the_version() -> None:
    changelog = (PACKAGE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {soma_client.__version__}\n" in changelog


def test_everything_public_is_exported_once() -> None:
    assert sorted(soma_client.__all__) == sorted(set(soma_client.__all__))
    assert [name for name in soma_client.__all__ if not hasattr(soma_client, name)] == []
