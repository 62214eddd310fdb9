"""`soma policy …`: who may do what, and the bundle for a central OPA."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.contexts import installed
from mesh.policy import Bundle, EmbeddedRego
from mesh.policy.bundle import DATA
from mesh.policy.grant_table import grant_table
from mesh.policy.grants import declared_grants, required_actions
from mesh.policy.policy import packaged
from soma_cli.output import Json, console, print_json, print_table

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

policy_app = typer.Typer(no_args_is_help=True, help="See who may do what, and write the policy for a central OPA.")
From = Annotated[Path | None, typer.Option("--from", help="Folder of .rego files; none: the packaged policy.")]


@policy_app.command()
def grants(*, from_: From = None, as_json: Json = False) -> None:
    """List every action of the installed contexts and who may perform it."""
    contexts, required = installed(), required_actions()
    rows = grant_table(contexts, required, EmbeddedRego(_bundle(from_)))
    if as_json:
        print_json({"grants": [asdict(row) for row in rows]})
        return
    print_table(
        ("action", "granted by", "roles", "on behalf"),
        [(row.action, row.granted_by or "nobody", ", ".join(row.roles) or "none", row.on_behalf) for row in rows],
        no_wrap={"action"},
        detail_columns=("granted by", "on behalf"),
    )


@policy_app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write; made when it is not there.")], *, from_: From = None
) -> None:
    """Write the policy and the grants as a bundle for OPA, whose revision is the policy's id."""
    bundle = _bundle(from_)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (*bundle.modules, (DATA, bundle.data)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / ".manifest").write_text(json.dumps({"revision": bundle.digest}), encoding="utf-8")
    console.print(f"{folder}: policy {bundle.digest}", soft_wrap=True)


def _bundle(folder: Traversable | None) -> Bundle:
    return Bundle.read(folder or packaged(), declared_grants(installed(), required_actions()))
