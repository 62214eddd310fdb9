"""`soma dlq …`: lists, requeues and discards dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.json_format import MessageToDict

from soma.provenance.v1.dead_letter_service_pb2 import (
    DeadLetter,
    ListDeadLettersResponse,
    RequeueDeadLettersResponse,
)
from soma_cli.client import EdgeClient
from soma_cli.errors import CommandError
from soma_cli.listing import read_list
from soma_cli.messages import enum_name, get_time, message_fields, parse
from soma_cli.output import Json, parse_enum_value, print_json, print_line, print_table, state_text
from soma_local.home import Home

if TYPE_CHECKING:
    from soma_cli.messages import Fields

dlq_app = typer.Typer(no_args_is_help=True, help="List, requeue and discard dead letters.")
_PATH = "/v1/admin/dlq"
_STATES = ("WAITING", "BLOCKED", "REQUEUED", "RESOLVED", "EXHAUSTED", "DISCARDED", "EXPIRED")
_STATE, _CAUSE = "DEAD_LETTER_STATE_", "DEAD_LETTER_CAUSE_"


DEAD_LETTER: Fields = (
    "dlq_id", "state", "group", "topic", "key", "event_id", "event_type", "cause", "detail", "attempts", "requeues",
    "correlation_id", "trace_id", "create_time", "update_time", "requeue_time", "expire_time", "reason", "size_bytes",
    "payload",
)  # fmt: skip
REQUEUED: Fields = ("requeued", "left", "remaining")


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
    query = {"state": parse_enum_value(_STATE, state, _STATES)} if state else {}
    query |= {"cause": _CAUSE + cause.upper().removeprefix(_CAUSE)} if cause else {}
    query |= {"topic": topic} if topic else {}
    query |= {"platform": "true"} if platform else {}
    with EdgeClient.for_home(Home.from_environment()) as client:
        text = read_list(client, _PATH, "dead_letters", query, limit)
    if as_json:
        typer.echo(text)
        return
    rows = [
        (
            dead_letter.dlq_id,
            state_text(enum_name(dead_letter, "state")),
            _time_text(dead_letter, "create_time"),
            dead_letter.group,
            dead_letter.event_type.rpartition(".")[2] or dead_letter.topic,
            _cause_text(dead_letter),
            str(dead_letter.requeues),
        )
        for dead_letter in parse(ListDeadLettersResponse, text).dead_letters
    ]
    columns = ("dead letter", "state", "since", "group", "event", "cause", "sent again")
    print_table(columns, rows, no_wrap={"dead letter"}, detail_columns=("group", "since", "event"))


@dlq_app.command()
def show(dlq_id: Annotated[str, typer.Argument(help="Id of the dead letter.")], *, as_json: Json = False) -> None:
    """Show one dead letter with its event, redacted."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        text = client.get_json(f"{_PATH}/{dlq_id}")
    if as_json:
        typer.echo(text)
        return
    dead_letter = parse(DeadLetter, text)
    _print_summary(dead_letter)
    rows = (
        ("dead-lettered by", f"{dead_letter.group}, after {dead_letter.attempts} tries"),
        ("cause", f"{_cause_text(dead_letter)}: {dead_letter.detail}"),
        ("event", f"{dead_letter.event_type or 'unreadable'} {dead_letter.event_id}"),
        ("topic and key", f"{dead_letter.topic} {dead_letter.key}"),
        ("belongs to", dead_letter.correlation_id or "–"),
        ("trace", dead_letter.trace_id or "–"),
        ("since", _time_text(dead_letter, "create_time")),
        ("sent again", f"{dead_letter.requeues} times"),
        ("next time", _time_text(dead_letter, "requeue_time")),
        ("expires", _time_text(dead_letter, "expire_time")),
        ("bytes", str(dead_letter.size_bytes)),
    )
    print_table(("field", "value"), rows)
    if dead_letter.HasField("payload"):
        print_json(MessageToDict(dead_letter.payload))


@dlq_app.command()
def requeue(
    dlq_ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters.")] = None,
    *,
    topic: Annotated[str, typer.Option(help="All of this topic, oldest first.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most dead letters.")] = 100,
    as_json: Json = False,
) -> None:
    """Requeue events to the consumer group that dead-lettered them."""
    if not dlq_ids and not topic:
        raise CommandError("name dead letters, or a topic with --topic")
    body: dict[str, object] = {"dlq_ids": dlq_ids or [], "topic": topic, "limit": limit}
    with EdgeClient.for_home(Home.from_environment()) as client:
        response = client.post(RequeueDeadLettersResponse, f"{_PATH}:requeue", body)
    if as_json:
        print_json(message_fields(response, REQUEUED))
        return
    print_line(f"{response.requeued} sent again, {response.left} could not be, {response.remaining} remain")


@dlq_app.command()
def discard(
    dlq_id: Annotated[str, typer.Argument(help="Id of the dead letter.")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it is stored and audited.")],
    *,
    as_json: Json = False,
) -> None:
    """Discard a dead letter for good."""
    with EdgeClient.for_home(Home.from_environment()) as client:
        dead_letter = client.post(DeadLetter, f"{_PATH}/{dlq_id}:discard", {"reason": reason})
    if as_json:
        print_json(message_fields(dead_letter, DEAD_LETTER))
        return
    _print_summary(dead_letter)


def _print_summary(dead_letter: DeadLetter) -> None:
    state = state_text(enum_name(dead_letter, "state"))
    print_line(("dead letter", "bold"), f" {dead_letter.dlq_id} ", state, f" {dead_letter.reason}")


def _cause_text(dead_letter: DeadLetter) -> str:
    return enum_name(dead_letter, "cause").removeprefix(_CAUSE).lower()


def _time_text(dead_letter: DeadLetter, field: str) -> str:
    at = get_time(dead_letter, field)
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "–"
