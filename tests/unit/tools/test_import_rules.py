"""The rules of who may import whom hold for every context and library, also for one that is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.import_rules import ROOT, expanded

if TYPE_CHECKING:
    from pathlib import Path

RULES = """\
containers =
    svc_*
modules =
    svc_*.domain
    svc_*.workflows
    mesh
"""


def context(root: Path, name: str, *modules: str) -> None:
    (root / name).mkdir()
    for module in ("context", *modules):
        (root / name / f"{module}.py").touch()


def test_a_pattern_stands_for_each_context_that_has_the_module(tmp_path: Path) -> None:
    context(tmp_path, "svc_ant", "domain", "workflows")
    context(tmp_path, "svc_bee", "domain")
    (tmp_path / "svc_empty").mkdir()
    assert expanded(RULES, tmp_path).splitlines() == [
        "containers =", "    svc_ant", "    svc_bee", "modules =", "    svc_ant.domain", "    svc_bee.domain",
        "    svc_ant.workflows", "    mesh",
    ]  # fmt: skip


def test_a_folder_is_a_module_as_a_file_is(tmp_path: Path) -> None:
    context(tmp_path, "svc_ant")
    (tmp_path / "svc_ant" / "domain").mkdir()
    assert "    svc_ant.domain" in expanded(RULES, tmp_path).splitlines()


def library(root: Path, name: str) -> None:
    (root / name).mkdir()
    (root / name / "__init__.py").touch()


def test_libraries_stand_for_all_but_those_that_the_contract_names(tmp_path: Path) -> None:
    for name in ("soma_ant", "soma_bee", "soma_cat"):
        library(tmp_path, name)
    (tmp_path / "soma_empty").mkdir()
    rules = "[a]\nroot =\n    soma_*\n[b]\nsource =\n    soma_bee\nforbidden =\n    soma\n    soma_*\n"
    assert expanded(rules, tmp_path).splitlines() == [
        "[a]", "root =", "    soma_ant", "    soma_bee", "    soma_cat",
        "[b]", "source =", "    soma_bee", "forbidden =", "    soma", "    soma_ant", "    soma_cat",
    ]  # fmt: skip


def test_providers_stand_for_the_folders_with_an_adapter(tmp_path: Path) -> None:
    library(tmp_path, "soma_providers")
    for folder in ("bee/adapter.py", "ant/adapter.py", "media/diagram.py"):
        path = tmp_path / "soma_providers" / folder
        path.parent.mkdir()
        path.touch()
    assert expanded("[a]\nmodules =\n    soma_providers.*\n    soma_providers.port\n", tmp_path).splitlines() == [
        "[a]", "modules =", "    soma_providers.ant", "    soma_providers.bee", "    soma_providers.port",
    ]  # fmt: skip


def test_no_exception_of_the_rules_is_dropped() -> None:
    """A line that began with `svc_*` was taken for a module that no context has."""
    rules = (ROOT / "tools" / "import_rules.ini").read_text(encoding="utf-8")
    exceptions = [line for line in rules.splitlines() if " -> " in line]
    assert len(exceptions) > 2
    assert [line for line in exceptions if line not in expanded(rules, ROOT).splitlines()] == []
