"""Shows a job while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from soma_cli.fields import JOB_EVENT
from soma_cli.messages import enum_name, plain
from soma_cli.output import console, emit, state_text

if TYPE_CHECKING:
    from soma.executor.v1.job_pb2 import Job, JobEvent
    from soma_cli.client import EdgeClient

_RUNNING = "STEP_STATE_RUNNING"
_STEP_ENDED = {"STEP_STATE_SUCCEEDED", "STEP_STATE_FAILED", "STEP_STATE_SKIPPED", "STEP_STATE_CANCELLED"}


def follow(client: EdgeClient, job_id: str, *, as_json: bool) -> Job:
    """Show the job's events until its end, then give the job."""
    if as_json:
        for event in client.watch_job(job_id):
            emit(plain(event, JOB_EVENT), indent=None)
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
    state = enum_name(event, "step_state")
    if state == _RUNNING:
        running.add(event.step_id)
    elif state in _STEP_ENDED:
        running.discard(event.step_id)


def _line(event: JobEvent) -> Text | None:
    """Give the line of an event; nothing for those that say no more than the bar."""
    if not event.message:
        return None
    state = enum_name(event, "step_state")
    shown = state_text(state) if state in _STEP_ENDED else Text("")
    return Text.assemble((f"{event.step_id or 'job':<18} ", "bold"), shown, f" {event.message}")
