"""`soma job …`, `soma token`: what any client can do over REST."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.ids import SystemIds
from soma_cli.client import EdgeClient, api_key
from soma_cli.demo import PAGES_URL, read_plan
from soma_cli.fields import JOB, JOB_PAGE
from soma_cli.messages import enum_name, moment, optional, plain
from soma_cli.output import Json, duration, emit, full_name, line, money, score, state_text, table
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
    request_id: Annotated[str, typer.Option(help="Makes the call idempotent; made up when absent.")] = "",
    as_json: Json = False,
) -> None:
    """Submit a plan."""
    with EdgeClient.of_home(Home.from_environment()) as client:
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
    with EdgeClient.of_home(Home.from_environment()) as client:
        _show_end(follow(client, job_id, as_json=as_json), as_json=as_json)


@job_app.command()
def describe(job_id: JobId, *, as_json: Json = False) -> None:
    """Show a job: its steps, their capabilities, scores and costs."""
    with EdgeClient.of_home(Home.from_environment()) as client:
        if as_json:
            typer.echo(client.raw(f"/v1/multimodal/jobs/{job_id}/describe"))
        else:
            _show_job(client.job(job_id), as_json=False)


@job_app.command("list")
def list_jobs(
    *,
    state: Annotated[str, typer.Option(help=f"Only these: {', '.join(_STATES).lower()}.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most jobs shown.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    wanted = full_name("JOB_STATE_", state, _STATES)
    with EdgeClient.of_home(Home.from_environment()) as client:
        page = client.jobs(state=wanted, page_size=limit)
    if as_json:
        emit(plain(page, JOB_PAGE))
        return
    rows = [
        (job.job_id, state_text(enum_name(job, "state")), f"{job.progress:.0%}", money(job.cost_micro_usd), job.title)
        for job in page.jobs
    ]
    table(("job", "state", "done", "cost", "title"), rows, whole={"job"}, below=("title",))


@job_app.command()
def cancel(
    job_id: JobId, *, reason: Annotated[str, typer.Option(help="Why, for the record.")] = "", as_json: Json = False
) -> None:
    """Stop a job and undo what it made."""
    with EdgeClient.of_home(Home.from_environment()) as client:
        _show_job(client.cancel_job(job_id, reason), as_json=as_json)


@job_app.command()
def resume(job_id: JobId, *, as_json: Json = False) -> None:
    """Run a failed job again from its recorded results."""
    with EdgeClient.of_home(Home.from_environment()) as client:
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
        with EdgeClient.of_home(home) as client:
            made = client.token()
        value, expire_time = made.token, moment(made, "expire_time")
    if as_json:
        emit({"token": value, "expire_time": expire_time})
    else:
        typer.echo(value)


def show_trace(found: DecisionTrace) -> None:
    """Print a Decision Trace: one row for each attempt, then the story of the steps that were not simple."""
    rows = []
    for step in found.steps:
        for attempt in step.attempts:
            run: Execution | None = optional(attempt, "execution")
            rows.append(
                (
                    step.step_id,
                    str(attempt.attempt),
                    f"{run.tool_id}@{run.provider}" if run else "",
                    state_text(enum_name(run, "status")) if run else "",
                    why(attempt.selection.reason, run),
                    score(optional(run, "quality_score")) if run else "",
                    money(run.cost_micro_usd) if run else "",
                    duration(run.latency_ms) if run else "",
                )
            )
    columns = ("step", "try", "capability", "state", "why", "quality", "cost", "time")
    table(columns, rows, below=("why", "time", "cost"), names=2)
    for step in found.steps:
        if len(step.attempts) > 1 and step.story:
            line((step.step_id, "bold"), f": {step.story}")


def why(reason: str, run: Execution | None) -> str:
    """Give the reason for an attempt: what was wrong with the one before, else the selector's own words."""
    if run is None:
        return reason
    if run.rework_reason:
        return f"rework: {run.rework_reason}"
    return f"fallback: {run.fallback_reason}" if run.fallback_reason else reason


def _show_end(job: Job, *, as_json: bool) -> None:
    """Show a job that was followed to its end; exit with 1 unless it completed."""
    _show_job(job, as_json=as_json)
    if enum_name(job, "state") != COMPLETED:
        raise typer.Exit(1)


def _show_job(job: Job, *, as_json: bool) -> None:
    if as_json:
        emit(plain(job, JOB))
        return
    line((job.title or "job", "bold"), f" {job.job_id} ", state_text(enum_name(job, "state")), f" {job.message}")
    rows = [
        (
            step.step_id,
            step.step_type,
            state_text(enum_name(step, "state")),
            step.capability_id,
            str(step.attempts),
            score(optional(step, "quality_score")),
            money(step.cost_micro_usd),
            step.message,
        )
        for step in job.steps
    ]
    if rows:
        columns = ("step", "type", "state", "capability", "tries", "quality", "cost", "message")
        table(columns, rows, below=("message", "type", "cost", "tries"))
