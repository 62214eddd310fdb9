"""`soma demo`: runs one job, from starting the mesh to the finished document."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mesh.clock import SystemClock
from mesh.ids import SystemIds
from soma_cli import demo as demonstration
from soma_cli.client import EdgeClient
from soma_cli.commands.jobs import COMPLETED, show_trace
from soma_cli.commands.mesh import stop
from soma_cli.fields import TRACE_TOTALS
from soma_cli.messages import enum_name, get_optional, message_fields
from soma_cli.output import Json, console, format_count, format_money, format_score, print_json, print_line, state_text
from soma_cli.progress import follow
from soma_cli.starting import find_running_mesh, start_detached
from soma_local.environment import example_ports
from soma_local.home import Home
from soma_local.ports import LOOPBACK
from soma_local.stack import DEFAULT_EDGE_PORT, Options

if TYPE_CHECKING:
    from soma.executor.v1.job_pb2 import Job
    from soma.provenance.v1.trace_service_pb2 import DecisionTrace


def demo(
    plan: Annotated[Path | None, typer.Option(help="Another plan than examples/srs_job.json.", exists=True)] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for what is made.", file_okay=False)] = Path("out"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the mesh running.")] = False,
    port: Annotated[int, typer.Option(help="Port of the edge.", min=1, max=65535)] = DEFAULT_EDGE_PORT,
    as_json: Json = False,
) -> None:
    """Start the mesh if it does not run, do one real job, save all it made, stop what was started."""
    home = Home.from_environment()
    clock = SystemClock()
    started_at = clock.monotonic()
    started = asyncio.run(find_running_mesh(home, as_json=as_json)) is None
    if started:
        _report(f"starting the mesh in {home.root}", as_json=as_json)
        start_detached(home, Options(edge_port=port), as_json=as_json)
    try:
        job, trace, documents = _run(
            home, plan or demonstration.examples_folder() / "srs_job.json", out, as_json=as_json
        )
    finally:
        if started and not keep:
            stop(home)
    duration_s = clock.monotonic() - started_at
    if as_json:
        print_json({"job_id": job.job_id, "state": enum_name(job, "state"), "seconds": round(duration_s, 1),
              "out": str(out.resolve()), "documents": [str(file) for file in documents],
              "totals": message_fields(trace.totals, TRACE_TOTALS)})  # fmt: skip
    else:
        _show(job, trace, documents, out, duration_s)
    if enum_name(job, "state") != COMPLETED:
        raise typer.Exit(1)


def _run(home: Home, plan: Path, out: Path, *, as_json: bool) -> tuple[Job, DecisionTrace, list[Path]]:
    pages, unreachable = example_ports(home)
    with EdgeClient.for_home(home) as client, demonstration.serve_folder(plan.parent, pages) as pages_url:
        for capability in demonstration.read_capabilities(plan, f"http://{LOOPBACK}:{unreachable}/v1"):
            client.register_capability(capability)
        job = client.submit_job(demonstration.read_plan(plan, pages_url), SystemIds().new())
        _report(f"job {job.job_id}", as_json=as_json)
        job = follow(client, job.job_id, as_json=as_json)
        trace, trace_json = asyncio.run(demonstration.wait_for_complete_trace(client, job.job_id, SystemClock()))
        return job, trace, demonstration.save(client, job, trace_json, out)


def _show(job: Job, trace: DecisionTrace, documents: list[Path], out: Path, duration_s: float) -> None:
    show_trace(trace)
    totals = trace.totals
    attempts = ((totals.attempts, "attempt"), (totals.fallbacks, "fallback"), (totals.reworks, "rework"))
    counts = ", ".join(format_count(number, noun) for number, noun in attempts)
    quality_and_cost = (
        f"quality {format_score(get_optional(totals, 'mean_quality'))}, cost {format_money(totals.cost_micro_usd)}"
    )
    print_line(state_text(enum_name(job, "state")), f" in {duration_s:.1f} s: {counts}, {quality_and_cost}")
    if job.message:
        print_line(job.message)
    for file in documents:
        print_line("  ", (str(file), "bold"))
    print_line(f"  assets, provenance, trace.json and job.json are in {out}")


def _report(text: str, *, as_json: bool) -> None:
    if not as_json:
        console.print(f"… {text}", markup=False)
