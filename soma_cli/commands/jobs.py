"""`soma job …`, `soma token`: submits and reads jobs, creates tokens."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.ids import SystemIds
from soma_cli.client import EdgeClient, api_key
from soma_cli.demo import PAGES_URL, read_plan
from soma_cli.fields import JOB, JOB_PAGE
from soma_cli.messages import enum_name, get_optional, get_time, message_fields
from soma_cli.output import (
    Json,
    format_duration,
    format_money,
    format_score,
    parse_enum_value,
    print_json,
    print_line,
    print_table,
    state_text,
)
from soma_cli.progress import follow
from soma_local.home import Home

if TYPE_CHECKING:
    from soma.executor.v1.job_pb2 import Execution, Job
    from soma.provenance.v1.trace_service_pb2 import DecisionTrace

_STATES = ("PENDING", "RUNNING", "COMPLETED", "PARTIAL", "FAILED", "CANCELLED")
COMPLETED = "JOB_STATE_COMPLETED"
job_app = typer.Typer(no_args_is_help=True, help="Submit, follow and read jobs.")
JobId = Annotated[str, typer.Argument(help="Id of the job.")]


@job_app.command()
def submit(
    plan: Annotated[Path, typer.Argument(help="File with a Task-DSL plan.", exists=True, dir_okay=False)],
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the job to its end; exit with 1 unless it completed.")
    ] = False,
    request_id: Annotated[str, typer.Option(help="Makes the call idempotent; generated when absent.")] = "",
    as_json: Json = False,
) -> None:
    """Submit a plan."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        job = client.submit_job(read_plan(plan, PAGES_URL), request_id or SystemIds().new())
        if watch:
            _show_end(follow(client, job.job_id, as_json=as_json), as_json=as_json)
        else:
            _show_job(job, as_json=as_json)


@job_app.command("watch")
def watch_job(job_id: JobId, *, as_json: Json = False) -> None:
    """Follow a job to its end; with --json one event a line, then the job.

    Exits with 1 unless the job completed: a failed, cancelled or partial one did not.
    """
    with EdgeClient.for_home(Home.from_environment()) as client:
        _show_end(follow(client, job_id, as_json=as_json), as_json=as_json)


@job_app.command()
def describe(job_id: JobId, *, as_json: Json = False) -> None:
    """Show a job: its steps, their capabilities, scores and costs."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        if as_json:
            typer.echo(client.get_json(f"/v1/multimodal/jobs/{job_id}/describe"))
        else:
            _show_job(client.get_job(job_id), as_json=False)


@job_app.command("list")
def list_jobs(
    *,
    state: Annotated[str, typer.Option(help=f"Only these: {', '.join(_STATES).lower()}.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most jobs shown.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    state_name = parse_enum_value("JOB_STATE_", state, _STATES)
    with EdgeClient.for_home(Home.from_environment()) as client:
        page = client.list_jobs(state=state_name, page_size=limit)
    if as_json:
        print_json(message_fields(page, JOB_PAGE))
        return
    rows = [
        (
            job.job_id,
            state_text(enum_name(job, "state")),
            f"{job.progress:.0%}",
            format_money(job.cost_micro_usd),
            job.title,
        )
        for job in page.jobs
    ]
    print_table(("job", "state", "done", "cost", "title"), rows, no_wrap={"job"}, detail_columns=("title",))


@job_app.command()
def cancel(
    job_id: JobId, *, reason: Annotated[str, typer.Option(help="Why, for the record.")] = "", as_json: Json = False
) -> None:
    """Stop a job and undo what it made."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        _show_job(client.cancel_job(job_id, reason), as_json=as_json)


@job_app.command()
def resume(job_id: JobId, *, as_json: Json = False) -> None:
    """Run a failed job again from its recorded results."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        _show_job(client.resume_job(job_id), as_json=as_json)


def token(
    *,
    key: Annotated[bool, typer.Option("--key", help="The API key instead of a 15-minute token.")] = False,
    as_json: Json = False,
) -> None:
    """Print a credential of the development tenant, for curl and grpcurl."""
    home = Home.from_environment()
    if key:
        value = api_key(home)
        expire_time = None
    else:
        with EdgeClient.for_home(home) as client:
            response = client.create_token()
        value, expire_time = response.token, get_time(response, "expire_time")
    if as_json:
        print_json({"token": value, "expire_time": expire_time})
    else:
        typer.echo(value)


def show_trace(trace: DecisionTrace) -> None:
    """Prints a Decision Trace: one row per attempt, then the story of each step with several attempts."""
    rows = []
    for step in trace.steps:
        for attempt in step.attempts:
            run: Execution | None = get_optional(attempt, "execution")
            rows.append(
                (
                    step.step_id,
                    str(attempt.attempt),
                    f"{run.tool_id}@{run.provider}" if run else "",
                    state_text(enum_name(run, "status")) if run else "",
                    attempt_reason(attempt.selection.reason, run),
                    format_score(get_optional(run, "quality_score")) if run else "",
                    format_money(run.cost_micro_usd) if run else "",
                    format_duration(run.latency_ms) if run else "",
                )
            )
    columns = ("step", "try", "capability", "state", "why", "quality", "cost", "time")
    print_table(columns, rows, detail_columns=("why", "time", "cost"), label_columns=2)
    for step in trace.steps:
        if len(step.attempts) > 1 and step.story:
            print_line((step.step_id, "bold"), f": {step.story}")


def attempt_reason(reason: str, run: Execution | None) -> str:
    """Returns the reason for an attempt: why the previous one failed, else the reason of the selection."""
    if run is None:
        return reason
    if run.rework_reason:
        return f"rework: {run.rework_reason}"
    return f"fallback: {run.fallback_reason}" if run.fallback_reason else reason


def _show_end(job: Job, *, as_json: bool) -> None:
    """Shows an ended job; exits with 1 unless it completed."""
    _show_job(job, as_json=as_json)
    if enum_name(job, "state") != COMPLETED:
        raise typer.Exit(1)


def _show_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_json(message_fields(job, JOB))
        return
    print_line((job.title or "job", "bold"), f" {job.job_id} ", state_text(enum_name(job, "state")), f" {job.message}")
    rows = [
        (
            step.step_id,
            step.step_type,
            state_text(enum_name(step, "state")),
            step.capability_id,
            str(step.attempts),
            format_score(get_optional(step, "quality_score")),
            format_money(step.cost_micro_usd),
            step.message,
        )
        for step in job.steps
    ]
    if rows:
        columns = ("step", "type", "state", "capability", "tries", "quality", "cost", "message")
        print_table(columns, rows, detail_columns=("message", "type", "cost", "tries"))
