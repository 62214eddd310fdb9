"""`soma receipt …`: reads the receipts of jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from soma.provenance.v1.receipt_service_pb2 import ListReceiptsResponse, Receipt
from soma_cli.client import EdgeClient
from soma_cli.listing import read_list
from soma_cli.messages import enum_name, enum_names, get_optional, get_time, parse
from soma_cli.output import (
    Json,
    format_count,
    format_duration,
    format_money,
    format_score,
    level_text,
    print_line,
    print_table,
    state_text,
)
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
    with EdgeClient.for_home(Home.from_environment()) as client:
        text = read_list(client, _PATH, "receipts", query, limit)
    if as_json:
        typer.echo(text)
        return
    columns = ("job", "ended", "state", "form", "quality", "tries", "cost", "time", "out of order")
    rows = [_row(receipt) for receipt in parse(ListReceiptsResponse, text).receipts]
    print_table(columns, rows, no_wrap={"job"}, detail_columns=("out of order", "ended", "form", "time", "cost"))


@receipt_app.command()
def show(
    receipt_id: Annotated[str, typer.Argument(help="Id of the receipt or of its job.")], *, as_json: Json = False
) -> None:
    """Show one receipt; a full one with its attempts."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        text = client.get_json(f"{_PATH}/{receipt_id}")
    if as_json:
        typer.echo(text)
        return
    receipt = parse(Receipt, text)
    print_line(("job", "bold"), f" {receipt.job_id} ", state_text(receipt.state), f" {_causes(receipt)}")
    print_table(("field", "value"), _field_rows(receipt))
    if receipt.attempt_details:
        rows = [
            (
                attempt.step_id,
                str(attempt.attempt),
                attempt.capability_id,
                state_text(attempt.status),
                attempt.error_code,
                format_score(get_optional(attempt, "quality_score")),
                format_money(attempt.cost_micro_usd),
                format_duration(attempt.latency_ms),
            )
            for attempt in receipt.attempt_details
        ]
        columns = ("step", "try", "capability", "state", "error", "quality", "cost", "time")
        print_table(columns, rows, detail_columns=("error", "time", "cost"), label_columns=2)


def _row(receipt: Receipt) -> tuple[str, ...]:
    ended = get_time(receipt, "end_time")
    return (
        receipt.job_id,
        f"{ended:%Y-%m-%d %H:%M}" if ended else "",
        receipt.state,
        enum_name(receipt, "form").removeprefix(_FORM).lower(),
        format_score(get_optional(receipt, "observed_quality")),
        str(receipt.attempts),
        format_money(receipt.cost_micro_usd),
        format_duration(receipt.latency_ms),
        _causes(receipt),
    )


def _causes(receipt: Receipt) -> str:
    names = enum_names(receipt, "causes")
    return ", ".join(name.removeprefix(_CAUSE).lower().replace("_", " ") for name in names)


def _field_rows(receipt: Receipt) -> list[tuple[str, str]]:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in sorted(receipt.criterion_scores.items()))
    fallbacks, reworks = format_count(receipt.fallbacks, "fallback"), format_count(receipt.reworks, "rework")
    return [
        ("receipt", receipt.receipt_id),
        ("path", receipt.path.lower()),
        ("quality predicted", format_score(get_optional(receipt, "predicted_quality"))),
        ("quality observed", format_score(get_optional(receipt, "observed_quality"))),
        ("by criterion", scores or "–"),
        ("degradation", level_text(enum_name(receipt, "degradation"))),
        ("candidates", str(receipt.candidates)),
        ("confidence", format_score(receipt.confidence)),
        (
            "attempts",
            f"{receipt.attempts} ({fallbacks}, {reworks})",
        ),
        ("time", f"{format_duration(receipt.latency_ms)} ({format_duration(receipt.provider_ms)} at providers)"),
        ("cost", format_money(receipt.cost_micro_usd)),
        ("trace digest", receipt.trace_digest),
        ("complete", "yes" if receipt.complete else "no"),
    ]
