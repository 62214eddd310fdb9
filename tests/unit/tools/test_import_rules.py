"""The rules of who may import whom hold for every context, also for one that is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.import_rules import expanded

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
