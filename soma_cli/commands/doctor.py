"""`soma doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from soma_cli.doctor import CheckResult, check_machine
from soma_cli.output import Json, console, print_json, print_table
from soma_local.home import Home
from soma_local.stack import DEFAULT_EDGE_PORT


def doctor(
    *,
    port: Annotated[int, typer.Option(help="Port the edge is to have.", min=1, max=65535)] = DEFAULT_EDGE_PORT,
    as_json: Json = False,
) -> None:
    """Check this machine; exit with 1 when something needed is missing."""
    results = check_machine(Home.from_environment(), port)
    healthy = all(result.found or not result.needed for result in results)
    if as_json:
        print_json({"healthy": healthy, "findings": [result.model_dump() for result in results]})
    else:
        rows = [(result.part, _state_text(result), result.where or result.advice) for result in results]
        print_table(("part", "state", "where, or how to get it"), rows)
        console.print("all that is needed is there" if healthy else "[red]something needed is missing[/]")
    if not healthy:
        raise typer.Exit(1)


def _state_text(result: CheckResult) -> Text:
    if result.found:
        return Text("found", "green")
    return Text("missing", "red") if result.needed else Text("optional", "yellow")
