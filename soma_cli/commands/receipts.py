"""`soma receipt …`: what jobs came to, one line each."""

from __future__ import annotations

from typing import Annotated

import typer

from soma.provenance.v1.receipt_service_pb2 import ListReceiptsResponse, Receipt
from soma_cli.client import EdgeClient
from soma_cli.listing import first_page
from soma_cli.messages import enum_name, enum_names, moment, optional, parse
from soma_cli.output import Json, counted, duration, level_text, line, money, score, state_text, table
from soma_local.home import Home

receipt_app = typer.Typer(no_args_is_help=True, help="Read the receipts of jobs that ended.")
_PATH = "/v1/admin/receipts"
_FORM, _CAUSE = "RECEIPT_FORM_", "RECEIPT_CAUSE_"


@receipt_app.command("list")
def list_receipts(
    *,
    form: Annotated[str, typer.Option(help="Only these: compact or full.")] = "",
    cause: Annotated[str, typer.Option(help="Only these, for example tool_failed.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most receipts shown.")] = 20,
    as_json: Json = False,
) -> None:
    """List receipts, newest first."""
    query = {"form": _FORM + form.upper().removeprefix(_FORM)} if form else {}
    query |= {"cause": _CAUSE + cause.upper().removeprefix(_CAUSE)} if cause else {}
    with EdgeClient.of_home(Home.from_environment()) as client:
        text = first_page(client, _PATH, "receipts", query, limit)
    if as_json:
        typer.echo(text)
        return
    columns = ("job", "ended", "state", "form", "quality", "tries", "cost", "time", "out of order")
    rows = [_row(receipt) for receipt in parse(ListReceiptsResponse, text).receipts]
    table(columns, rows, whole={"job"}, below=("out of order", "ended", "form", "time", "cost"))


@receipt_app.command()
def show(
    receipt_id: Annotated[str, typer.Argument(help="Id of the receipt or of its job.")], *, as_json: Json = False
) -> None:
    """Show one receipt; a full one with its attempts."""
    with EdgeClient.of_home(Home.from_environment()) as client:
        text = client.raw(f"{_PATH}/{receipt_id}")
    if as_json:
        typer.echo(text)
        return
    receipt = parse(Receipt, text)
    line(("job", "bold"), f" {receipt.job_id} ", state_text(receipt.state), f" {_causes(receipt)}")
    table(("figure", "value"), _figures(receipt))
    if receipt.attempt_details:
        rows = [
            (
                attempt.step_id,
                str(attempt.attempt),
                attempt.capability_id,
                state_text(attempt.status),
                attempt.error_code,
                score(optional(attempt, "quality_score")),
                money(attempt.cost_micro_usd),
                duration(attempt.latency_ms),
            )
            for attempt in receipt.attempt_details
        ]
        columns = ("step", "try", "capability", "state", "error", "quality", "cost", "time")
        table(columns, rows, below=("error", "time", "cost"), names=2)


def _row(receipt: Receipt) -> tuple[str, ...]:
    ended = moment(receipt, "end_time")
    return (
        receipt.job_id,
        f"{ended:%Y-%m-%d %H:%M}" if ended else "",
        receipt.state,
        enum_name(receipt, "form").removeprefix(_FORM).lower(),
        score(optional(receipt, "observed_quality")),
        str(receipt.attempts),
        money(receipt.cost_micro_usd),
        duration(receipt.latency_ms),
        _causes(receipt),
    )


def _causes(receipt: Receipt) -> str:
    names = enum_names(receipt, "causes")
    return ", ".join(name.removeprefix(_CAUSE).lower().replace("_", " ") for name in names)


def _figures(receipt: Receipt) -> list[tuple[str, str]]:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in sorted(receipt.criterion_scores.items()))
    return [
        ("receipt", receipt.receipt_id),
        ("path", receipt.path.lower()),
        ("quality foreseen", score(optional(receipt, "predicted_quality"))),
        ("quality observed", score(optional(receipt, "observed_quality"))),
        ("by criterion", scores or "–"),
        ("degradation", level_text(enum_name(receipt, "degradation"))),
        ("candidates", str(receipt.candidates)),
        ("confidence", score(receipt.confidence)),
        (
            "attempts",
            f"{receipt.attempts} ({counted(receipt.fallbacks, 'fallback')}, {counted(receipt.reworks, 'rework')})",
        ),
        ("time", f"{duration(receipt.latency_ms)} ({duration(receipt.provider_ms)} at providers)"),
        ("cost", money(receipt.cost_micro_usd)),
        ("trace digest", receipt.trace_digest),
        ("facts complete", "yes" if receipt.complete else "no"),
    ]
