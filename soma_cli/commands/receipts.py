"""`soma receipt …`: what jobs came to, one line each."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated

import typer
from pydantic import Field

from soma_cli.api import Answer
from soma_cli.client import EdgeClient
from soma_cli.listing import first_page
from soma_cli.output import Json, counted, duration, line, money, score, state_text, table
from soma_local.home import Home

receipt_app = typer.Typer(no_args_is_help=True, help="Read the receipts of jobs that ended.")
_PATH = "/v1/admin/receipts"
_FORM, _CAUSE = "RECEIPT_FORM_", "RECEIPT_CAUSE_"


class ReceiptAttempt(Answer):
    """One attempt of a full receipt."""

    step_id: str = ""
    attempt: int = 0
    capability_id: str = ""
    status: str = ""
    error_code: str = ""
    quality_score: float | None = None
    cost_micro_usd: int = 0
    latency_ms: int = 0


class Receipt(Answer):
    """What a job came to."""

    receipt_id: str
    job_id: str
    form: str = ""
    causes: tuple[str, ...] = ()
    state: str = ""
    path: str = ""
    predicted_quality: float | None = None
    observed_quality: float | None = None
    criterion_scores: dict[str, float] = Field(default_factory=dict)
    degradation_level: int = 0
    candidates: int = 0
    confidence: float = 0.0
    attempts: int = 0
    fallbacks: int = 0
    reworks: int = 0
    latency_ms: int = 0
    provider_ms: int = 0
    cost_micro_usd: int = 0
    trace_digest: str = ""
    complete: bool = False
    end_time: datetime | None = None
    attempt_details: tuple[ReceiptAttempt, ...] = ()


class ReceiptPage(Answer):
    """A page of receipts."""

    receipts: tuple[Receipt, ...] = ()


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
    rows = [_row(receipt) for receipt in ReceiptPage.model_validate_json(text).receipts]
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
    receipt = Receipt.model_validate_json(text)
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
                score(attempt.quality_score),
                money(attempt.cost_micro_usd),
                duration(attempt.latency_ms),
            )
            for attempt in receipt.attempt_details
        ]
        columns = ("step", "try", "capability", "state", "error", "quality", "cost", "time")
        table(columns, rows, below=("error", "time", "cost"), names=2)


def _row(receipt: Receipt) -> tuple[str, ...]:
    ended = f"{receipt.end_time:%Y-%m-%d %H:%M}" if receipt.end_time else ""
    return (
        receipt.job_id,
        ended,
        receipt.state,
        receipt.form.removeprefix(_FORM).lower(),
        score(receipt.observed_quality),
        str(receipt.attempts),
        money(receipt.cost_micro_usd),
        duration(receipt.latency_ms),
        _causes(receipt),
    )


def _causes(receipt: Receipt) -> str:
    return ", ".join(cause.removeprefix(_CAUSE).lower().replace("_", " ") for cause in receipt.causes)


def _figures(receipt: Receipt) -> list[tuple[str, str]]:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in sorted(receipt.criterion_scores.items()))
    return [
        ("receipt", receipt.receipt_id),
        ("path", receipt.path.lower()),
        ("quality foreseen", score(receipt.predicted_quality)),
        ("quality observed", score(receipt.observed_quality)),
        ("by criterion", scores or "–"),
        ("degradation", str(receipt.degradation_level)),
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
