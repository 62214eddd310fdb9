"""The page of grants follows from policy and contexts, and an action that nobody may perform is named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.contexts import installed
from tools import grants_doc

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.contexts import ContextDeclaration


def without(action: str) -> list[ContextDeclaration]:
    """The installed contexts, of which none grants the action."""
    return [
        replace(context, grants={name: roles for name, roles in context.grants.items() if name != action})
        for context in installed()
    ]


@pytest.fixture
def checking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["grants_doc.py", "--check"])


@pytest.mark.usefixtures("checking")
def test_the_page_is_what_policy_answers() -> None:
    assert grants_doc.main() == 0


@pytest.mark.usefixtures("checking")
def test_a_page_that_differs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "grants.md"
    other.write_text(
        grants_doc.OUT.read_text().replace("| `asset.erase` | assets |  |", "| `asset.erase` | assets | yes |")
    )
    assert grants_doc.main(other) == 1
    assert "run `make proto`" in capsys.readouterr().out


def test_an_action_that_no_context_grants_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["grants_doc.py"])
    monkeypatch.setattr(grants_doc, "installed", lambda: without("rubric.write"))
    assert grants_doc.main(tmp_path / "grants.md") == 1
    assert "rubric.write is granted to nobody, and soma.critic.v1.RubricService.CreateRubric" in capsys.readouterr().out


def test_a_grant_that_is_refused_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [first, *others] = installed()
    greedy = replace(first, grants={**first.grants, "job.create": ("viewer",)})
    monkeypatch.setattr(grants_doc, "installed", lambda: [greedy, *others])
    assert grants_doc.main(tmp_path / "grants.md") == 1
    assert "context assets grants job.create" in capsys.readouterr().out
