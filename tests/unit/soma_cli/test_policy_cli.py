"""`soma policy`: who may do what, and the bundle for a central OPA."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mesh.policy import Bundle
from mesh.policy.grants import installed_grants
from mesh.policy.policy import packaged
from soma_cli.app import build

if TYPE_CHECKING:
    from pathlib import Path


def soma(*words: str) -> str:
    done = CliRunner().invoke(build(), ["policy", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_grants_lists_every_granted_action_with_its_roles() -> None:
    told = {row["action"]: row for row in json.loads(soma("grants", "--json"))["grants"]}
    assert set(told) == set(installed_grants())
    assert told["job.create"]["roles"] == ["member", "admin", "platform_admin"]
    assert "tenant.write" in soma("grants")


def test_grants_judges_a_policy_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text(
        'package soma.authz\n\ndefault allow := false\n\nallow if "root" in input.roles\n'
    )
    told = json.loads(soma("grants", "--json", "--from", str(tmp_path)))["grants"]
    assert {tuple(row["roles"]) for row in told} == {()}


def test_export_writes_what_this_process_would_evaluate(tmp_path: Path) -> None:
    soma("export", str(tmp_path / "bundle"))
    bundle = Bundle.read(packaged(), installed_grants())
    assert json.loads((tmp_path / "bundle" / ".manifest").read_text()) == {"revision": bundle.digest}
    assert json.loads((tmp_path / "bundle" / "data.json").read_text()) == json.loads(bundle.data)
    assert Bundle.read(tmp_path / "bundle", installed_grants()) == bundle


@pytest.mark.parametrize("word", ["grants", "export"])
def test_each_command_explains_itself(word: str) -> None:
    assert "--from" in soma(word, "--help")
