"""`soma dlq …`: events that could not be applied, and what is to become of them."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated

import typer
from pydantic import Field, JsonValue

from soma_cli.api import Answer
from soma_cli.client import EdgeClient
from soma_cli.errors import CommandError
from soma_cli.listing import first_page
from soma_cli.output import Json, emit, full_name, line, state_text, table
from soma_local.home import Home

dlq_app = typer.Typer(no_args_is_help=True, help="See what could not be applied; send it again or give it up.")
_PATH = "/v1/admin/dlq"
_STATES = ("WAITING", "BLOCKED", "REQUEUED", "RESOLVED", "EXHAUSTED", "DISCARDED", "EXPIRED")
_STATE, _CAUSE = "DEAD_LETTER_STATE_", "DEAD_LETTER_CAUSE_"


class DeadLetter(Answer):
    """A dead letter."""

    dlq_id: str
    state: str = ""
    group: str = ""
    topic: str = ""
    key: str = ""
    event_id: str = ""
    event_type: str = ""
    cause: str = ""
    detail: str = ""
    attempts: int = 0
    requeues: int = 0
    correlation_id: str = ""
    trace_id: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    requeue_time: datetime | None = None
    expire_time: datetime | None = None
    reason: str = ""
    size_bytes: int = 0
    payload: dict[str, JsonValue] | None = Field(default=None)


class DeadLetterPage(Answer):
    """A page of dead letters."""

    dead_letters: tuple[DeadLetter, ...] = ()


class Requeued(Answer):
    """What came of sending many again."""

    requeued: int = 0
    left: int = 0
    remaining: int = 0


@dlq_app.command("list")
def list_dead_letters(
    *,
    state: Annotated[str, typer.Option(help=f"Only these: {', '.join(_STATES).lower()}.")] = "",
    cause: Annotated[str, typer.Option(help="Only these: malformed, failed, policy or timeout.")] = "",
    topic: Annotated[str, typer.Option(help="Only of this topic.")] = "",
    platform: Annotated[bool, typer.Option("--platform", help="Those of the platform, not the tenant's.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most dead letters shown.")] = 20,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    query = {"state": full_name(_STATE, state, _STATES)} if state else {}
    query |= {"cause": _CAUSE + cause.upper().removeprefix(_CAUSE)} if cause else {}
    query |= {"topic": topic} if topic else {}
    query |= {"platform": "true"} if platform else {}
    with EdgeClient.of_home(Home.from_environment()) as client:
        text = first_page(client, _PATH, "dead_letters", query, limit)
    if as_json:
        typer.echo(text)
        return
    rows = [
        (
            dead_letter.dlq_id,
            state_text(dead_letter.state),
            _moment(dead_letter.create_time),
            dead_letter.group,
            dead_letter.event_type.rpartition(".")[2] or dead_letter.topic,
            dead_letter.cause.removeprefix(_CAUSE).lower(),
            str(dead_letter.requeues),
        )
        for dead_letter in DeadLetterPage.model_validate_json(text).dead_letters
    ]
    columns = ("dead letter", "state", "since", "group", "event", "cause", "sent again")
    table(columns, rows, whole={"dead letter"}, below=("group", "since", "event"))


@dlq_app.command()
def show(dlq_id: Annotated[str, typer.Argument(help="Id of the dead letter.")], *, as_json: Json = False) -> None:
    """Show one dead letter with its event, redacted."""
    with EdgeClient.of_home(Home.from_environment()) as client:
        text = client.raw(f"{_PATH}/{dlq_id}")
    if as_json:
        typer.echo(text)
        return
    dead_letter = DeadLetter.model_validate_json(text)
    line(("dead letter", "bold"), f" {dead_letter.dlq_id} ", state_text(dead_letter.state), f" {dead_letter.reason}")
    facts = (
        ("given up by", f"{dead_letter.group}, after {dead_letter.attempts} tries"),
        ("cause", f"{dead_letter.cause.removeprefix(_CAUSE).lower()}: {dead_letter.detail}"),
        ("event", f"{dead_letter.event_type or 'unreadable'} {dead_letter.event_id}"),
        ("topic and key", f"{dead_letter.topic} {dead_letter.key}"),
        ("belongs to", dead_letter.correlation_id or "–"),
        ("trace", dead_letter.trace_id or "–"),
        ("since", _moment(dead_letter.create_time)),
        ("sent again", f"{dead_letter.requeues} times"),
        ("next time", _moment(dead_letter.requeue_time)),
        ("expires", _moment(dead_letter.expire_time)),
        ("bytes", str(dead_letter.size_bytes)),
    )
    table(("what", "value"), facts)
    if dead_letter.payload is not None:
        emit(dead_letter.payload)


@dlq_app.command()
def requeue(
    dlq_ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    *,
    topic: Annotated[str, typer.Option(help="All of this topic, oldest first.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most dead letters.")] = 100,
    as_json: Json = False,
) -> None:
    """Send events again to the group that gave them up."""
    if not dlq_ids and not topic:
        raise CommandError("name dead letters, or a topic with --topic")
    body: dict[str, object] = {"dlq_ids": dlq_ids or [], "topic": topic, "limit": limit}
    with EdgeClient.of_home(Home.from_environment()) as client:
        done = client.send(Requeued, f"{_PATH}:requeue", body)
    if as_json:
        emit(done)
        return
    line(f"{done.requeued} sent again, {done.left} could not be, {done.remaining} remain")


@dlq_app.command()
def discard(
    dlq_id: Annotated[str, typer.Argument(help="Id of the dead letter.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept and audited.")],
    *,
    as_json: Json = False,
) -> None:
    """Discard a dead letter for good."""
    with EdgeClient.of_home(Home.from_environment()) as client:
        dead_letter = client.send(DeadLetter, f"{_PATH}/{dlq_id}:discard", {"reason": reason})
    if as_json:
        emit(dead_letter)
        return
    line(("dead letter", "bold"), f" {dead_letter.dlq_id} ", state_text(dead_letter.state), f" {dead_letter.reason}")


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "–"
