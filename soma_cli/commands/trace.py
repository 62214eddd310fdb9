"""`soma trace`: the Decision Trace of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from soma.provenance.v1.trace_service_pb2 import DecisionTrace, TraceEvent
from soma_cli.client import EdgeClient
from soma_cli.messages import enum_name, parse
from soma_cli.output import Json, console, print_line, state_text
from soma_cli.trace_view import attempt_text, build_tree
from soma_local.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soma.provenance.v1.trace_service_pb2 import TraceStep


def trace(
    job_id: Annotated[str, typer.Argument(help="Id of the job.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch it grow until it is complete.")] = False,
    as_json: Json = False,
) -> None:
    """Show why each capability was chosen, what failed, what was reworked, and what it cost."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        if not follow:
            text = client.get_json(f"/v1/traces/{job_id}")
            found = parse(DecisionTrace, text)
        elif as_json:
            for data in client.watch_trace(job_id):
                typer.echo(data)
            return
        else:
            found = _follow(client.watch_trace(job_id))
    if as_json:
        typer.echo(text)
    else:
        show(found)


def show(trace: DecisionTrace) -> None:
    """Prints a trace as a tree."""
    console.print(build_tree(trace))


def _follow(events: Iterable[str]) -> DecisionTrace:
    """Prints new attempts and states as they arrive; returns the complete trace."""
    printed: set[str] = set()
    for data in events:
        event = parse(TraceEvent, data)
        if event.HasField("trace"):
            return event.trace
        if event.HasField("step"):
            _print_attempts(event.step, printed)
        elif event.HasField("job") and (state := enum_name(event.job, "state")) not in printed:
            printed.add(state)
            print_line(("job ", "bold"), state_text(state))
    raise typer.Exit(1)


def _print_attempts(step: TraceStep, printed: set[str]) -> None:
    """Prints the attempts of a step that have not been printed yet."""
    for attempt in step.attempts:
        text = attempt_text(attempt)
        key = f"{step.step_id} {text.plain}"
        if key not in printed:
            printed.add(key)
            print_line((f"{step.step_id}: ", "bold"), text)
