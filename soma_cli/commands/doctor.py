"""`soma doctor`: what is there, what is missing, how to get it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from soma_cli.doctor import Finding, run_checks
from soma_cli.output import Json, console, emit, table
from soma_local.home import Home
from soma_local.stack import DEFAULT_EDGE_PORT


def doctor(
    *,
    port: Annotated[int, typer.Option(help="Port the edge is to have.", min=1, max=65535)] = DEFAULT_EDGE_PORT,
    as_json: Json = False,
) -> None:
    """Check this machine; exit with 1 when something needed is missing."""
    findings = run_checks(Home.from_environment(), port)
    healthy = all(finding.found or not finding.needed for finding in findings)
    if as_json:
        emit({"healthy": healthy, "findings": [finding.model_dump() for finding in findings]})
    else:
        rows = [(finding.part, _mark(finding), finding.where or finding.advice) for finding in findings]
        table(("part", "state", "where, or how to get it"), rows)
        console.print("all that is needed is there" if healthy else "[red]something needed is missing[/]")
    if not healthy:
        raise typer.Exit(1)


def _mark(finding: Finding) -> Text:
    if finding.found:
        return Text("found", "green")
    return Text("missing", "red") if finding.needed else Text("optional", "yellow")
