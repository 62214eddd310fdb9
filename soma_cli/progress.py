"""Shows a job while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from soma_cli.output import console, state_text

if TYPE_CHECKING:
    from soma_cli.api import Job, JobEvent
    from soma_cli.client import EdgeClient

_RUNNING = "STEP_STATE_RUNNING"
_STEP_ENDED = {"STEP_STATE_SUCCEEDED", "STEP_STATE_FAILED", "STEP_STATE_SKIPPED", "STEP_STATE_CANCELLED"}


def follow(client: EdgeClient, job_id: str, *, as_json: bool) -> Job:
    """Show the job's events until its end, then give the job."""
    if as_json:
        for event in client.watch_job(job_id):
            typer.echo(event.model_dump_json())
        return client.job(job_id)
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.percentage:>3.0f}%"),
        BarColumn(bar_width=30),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    running: set[str] = set()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("waiting", total=1.0)
        for event in client.watch_job(job_id):
            _note(event, running)
            line = _line(event)
            if line is not None:
                progress.console.print(line)
            progress.update(bar, completed=event.progress, description=", ".join(sorted(running)) or "…")
    return client.job(job_id)


def _note(event: JobEvent, running: set[str]) -> None:
    if event.step_state == _RUNNING:
        running.add(event.step_id)
    elif event.step_state in _STEP_ENDED:
        running.discard(event.step_id)


def _line(event: JobEvent) -> Text | None:
    """Give the line of an event; nothing for those that say no more than the bar."""
    if not event.message:
        return None
    state = state_text(event.step_state) if event.step_state in _STEP_ENDED else Text("")
    return Text.assemble((f"{event.step_id or 'job':<18} ", "bold"), state, f" {event.message}")
