"""A context is found by one line in the entry points, and what it declares is checked before it is used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh import contexts
from mesh.chassis import ChassisSettings
from mesh.contexts import GATEWAY, SETTINGS_BLOCKS, ContextDeclaration, InvalidContextError, installed, owners

if TYPE_CHECKING:
    from pathlib import Path

ANT = ContextDeclaration(name="ant", version="1.2.3", package="svc_ant", protos=("soma.ant.v1",))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Installs a distribution with these entry points and one module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installing(module: str, text: str, *lines: str) -> None:
        (tmp_path / f"{module}.py").write_text(f"from mesh.contexts import ContextDeclaration\n{text}\n")
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("\n".join(["[soma.contexts]", *lines, ""]))

    return installing


def declaration(**fields: object) -> str:
    values = {"name": "probe", "version": "1.0.0", "package": "svc_probe", "protos": ("soma.probe.v1",), **fields}
    return f"CONTEXT = ContextDeclaration(**{values!r})"


def test_every_package_of_a_context_is_installed_with_what_it_is_named_after() -> None:
    found = {context.name: context for context in installed()}
    assert len(found) >= 7
    assert {name: context.package for name, context in found.items()} == {name: f"svc_{name}" for name in found}
    assert {name for name, context in found.items() if context.migrations is not None} == set(found)


def test_peers_are_installed_and_none_declares_the_gateway_which_all_follow() -> None:
    found = {context.name: set(context.peers) for context in installed()}
    assert {peer for peers in found.values() for peer in peers} <= set(found) - {GATEWAY}
    assert [name for name, peers in found.items() if name in peers] == []


def test_a_line_in_the_entry_points_is_enough(install: object) -> None:
    install("probing", declaration(), "probe = probing:CONTEXT")  # type: ignore[operator]
    [found] = contexts.named(["probe"])
    assert (found.name, found.build, found.migrations) == ("probe", "svc_probe.bootstrap:build", None)
    assert owners(installed())["soma.probe.v1"] == "probe"


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        ("probe = nowhere:CONTEXT", "", "probe = nowhere:CONTEXT cannot be loaded: No module named 'nowhere'"),
        ("probe = wrong1:ABSENT", "", "cannot be loaded"),
        ("probe = wrong2:CONTEXT", "CONTEXT = 1", "is no ContextDeclaration"),
        ("other = wrong3:CONTEXT", declaration(), "declares the context 'probe'"),
        (
            "probe = wrong4:CONTEXT",
            declaration(protos=("soma.critic.v1",)),
            "soma.critic.v1 is declared by critic and by probe",
        ),
        (
            "probe = wrong5:CONTEXT",
            declaration(publishes=("critic.events",)),
            "topic critic.events is declared by critic and",
        ),
    ],
)
def test_a_declaration_that_cannot_be_used_is_named(install: object, line: str, text: str, message: str) -> None:
    install(line.partition("= ")[2].partition(":")[0].replace("nowhere", "wrong0"), text, line)  # type: ignore[operator]
    with pytest.raises(InvalidContextError, match=message):
        installed()


def test_two_contexts_of_one_name_are_refused(install: object) -> None:
    install("twice", declaration(name="critic"), "critic = twice:CONTEXT")  # type: ignore[operator]
    with pytest.raises(InvalidContextError, match=r"two entry points soma\.contexts are named critic: svc_critic"):
        installed()


@pytest.mark.parametrize("name", ["", "Ant", "a-b", "a_b", "1a", "a" * 32, "peers", "postgres"])
def test_a_name_that_no_schema_variable_and_host_could_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidContextError, match="context"):
        replace(ANT, name=name)


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3-beta"])
def test_a_version_is_three_numbers(version: str) -> None:
    with pytest.raises(InvalidContextError, match=r"major\.minor\.patch"):
        replace(ANT, version=version)


def test_no_context_is_named_like_a_group_of_settings() -> None:
    assert set(ChassisSettings.model_fields) <= SETTINGS_BLOCKS
