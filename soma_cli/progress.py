"""Shows the progress of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from soma_cli.fields import JOB_EVENT
from soma_cli.messages import enum_name, message_fields
from soma_cli.output import console, print_json, state_text

if TYPE_CHECKING:
    from soma.executor.v1.job_pb2 import Job, JobEvent
    from soma_cli.client import EdgeClient

_RUNNING = "STEP_STATE_RUNNING"
_TERMINAL_STEP_STATES = {"STEP_STATE_SUCCEEDED", "STEP_STATE_FAILED", "STEP_STATE_SKIPPED", "STEP_STATE_CANCELLED"}


def follow(client: EdgeClient, job_id: str, *, as_json: bool) -> Job:
    """Shows the events of a job until it ends; returns the job."""
    if as_json:
        for event in client.watch_job(job_id):
            print_json(message_fields(event, JOB_EVENT), indent=None)
        return client.get_job(job_id)
    columns = (
        SpinnerColumn(),
        TextColumn("[bold]{task.percentage:>3.0f}%"),
        BarColumn(bar_width=30),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    running: set[str] = set()
    with Progress(*columns, console=console) as progress:
        progress_task = progress.add_task("waiting", total=1.0)
        for event in client.watch_job(job_id):
            _update_running(event, running)
            text = _event_text(event)
            if text is not None:
                progress.console.print(text)
            progress.update(progress_task, completed=event.progress, description=", ".join(sorted(running)) or "…")
    return client.get_job(job_id)


def _update_running(event: JobEvent, running: set[str]) -> None:
    state = enum_name(event, "step_state")
    if state == _RUNNING:
        running.add(event.step_id)
    elif state in _TERMINAL_STEP_STATES:
        running.discard(event.step_id)


def _event_text(event: JobEvent) -> Text | None:
    """Returns the line of an event; None for an event without a message, which only moves the progress bar."""
    if not event.message:
        return None
    state = enum_name(event, "step_state")
    state_label = state_text(state) if state in _TERMINAL_STEP_STATES else Text("")
    return Text.assemble((f"{event.step_id or 'job':<18} ", "bold"), state_label, f" {event.message}")
