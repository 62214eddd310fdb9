"""`soma audit …`: reads, verifies and exports the audit chain."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from soma.provenance.v1.audit_service_pb2 import ListAuditEventsResponse, VerifyAuditResponse
from soma_cli.client import EdgeClient
from soma_cli.listing import read_list
from soma_cli.messages import enum_name, get_time, message_fields, parse
from soma_cli.output import Json, print_json, print_line, print_table
from soma_local.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma.provenance.v1.audit_service_pb2 import AuditEvent
    from soma_cli.messages import Fields

audit_app = typer.Typer(no_args_is_help=True, help="Read and verify the audit chain.")
_PATH = "/v1/admin/audit"
_DECISION, _FAULT = "AUDIT_DECISION_", "AUDIT_FAULT_KIND_"
_MAX_FAULTS = 1_000

Platform = Annotated[bool, typer.Option("--platform", help="The platform's own chain; for its administrators.")]
FirstSequence = Annotated[int, typer.Option("--from", min=0, help="First sequence number; 0: the oldest entry.")]
Digest = Annotated[
    str, typer.Option("--digest", help="Of the entry before --from: `last_digest` of an earlier --json. Else trusted.")
]


VERIFICATION: Fields = (
    "intact", "entries", "first_sequence", "last_sequence", ("faults", ("sequence", "kind", "detail")),
    ("anchor", ("sequence", "key_version", "create_time")), "next_sequence", "last_digest",
)  # fmt: skip


@audit_app.command("list")
def list_events(
    *,
    subject: Annotated[str, typer.Option(help="Only those of this subject.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, for example budget.write.")] = "",
    resource: Annotated[str, typer.Option(help="Only things of this kind, for example budget.")] = "",
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most entries shown.")] = 20,
    platform: Platform = False,
    as_json: Json = False,
) -> None:
    """List entries, newest first."""
    query = {"subject": subject, "action": action, "resource_type": resource}
    query |= {"decision": f"{_DECISION}DENIED" if denied else "", "platform": "true" if platform else ""}
    with EdgeClient.for_home(Home.from_environment()) as client:
        parameters = {name: value for name, value in query.items() if value}
        text = read_list(client, _PATH, "audit_events", parameters, limit)
    if as_json:
        typer.echo(text)
        return
    columns = ("sequence", "when", "who", "did", "to", "decision", "why")
    rows = [_row(event) for event in parse(ListAuditEventsResponse, text).audit_events]
    print_table(columns, rows, detail_columns=("why", "to", "who"))


@audit_app.command()
def verify(
    *, from_sequence: FirstSequence = 0, digest: Digest = "", platform: Platform = False, as_json: Json = False
) -> None:
    """Verify the chain, with as many calls as needed; exit with 1 when it is not intact."""
    result: VerifyAuditResponse | None = None
    with EdgeClient.for_home(Home.from_environment()) as client:
        for page in _verify_pages(client, from_sequence, digest, platform=platform):
            result = _merge(result, page) if result else page
            if page.next_sequence and not as_json:
                print_line(f"checked up to entry {page.next_sequence - 1}")
    if result is None or not _print_verification(result, as_json=as_json):
        raise typer.Exit(1)


def _verify_pages(
    client: EdgeClient, from_sequence: int, digest: str, *, platform: bool
) -> Iterator[VerifyAuditResponse]:
    """Verifies the chain to its end, one call after the other."""
    while True:
        body: dict[str, object] = {"platform": platform, "from_sequence": from_sequence}
        previous = {"previous_digest": digest} if digest else {}
        page = client.post(VerifyAuditResponse, f"{_PATH}:verify", body | previous)
        yield page
        if not page.next_sequence:
            return
        from_sequence, digest = page.next_sequence, page.last_digest


def _merge(before: VerifyAuditResponse, page: VerifyAuditResponse) -> VerifyAuditResponse:
    """Returns two consecutive responses as one, with the first 1,000 faults."""
    newest = page if page.HasField("anchor") else before
    return VerifyAuditResponse(
        intact=before.intact and page.intact,
        entries=before.entries + page.entries,
        first_sequence=before.first_sequence or page.first_sequence,
        last_sequence=page.last_sequence or before.last_sequence,
        faults=[*before.faults, *page.faults][:_MAX_FAULTS],
        anchor=newest.anchor if newest.HasField("anchor") else None,
        next_sequence=page.next_sequence,
        last_digest=page.last_digest,
    )


def _print_verification(response: VerifyAuditResponse, *, as_json: bool) -> bool:
    """Prints a result; returns whether the chain is intact."""
    if as_json:
        print_json(message_fields(response, VERIFICATION))
        return response.intact
    result, style = ("intact", "green") if response.intact else (f"{len(response.faults)} faults", "red")
    print_line((result, style), f": {response.entries} entries, {response.first_sequence} to {response.last_sequence}")
    if response.HasField("anchor"):
        anchored_at = get_time(response.anchor, "create_time")
        print_line(f"newest anchor: entry {response.anchor.sequence}, {anchored_at:%Y-%m-%d %H:%M:%S}")
    if response.faults:
        rows = [
            (str(fault.sequence), _enum_words(enum_name(fault, "kind"), _FAULT), fault.detail)
            for fault in response.faults
        ]
        print_table(("sequence", "fault", "detail"), rows)
    return response.intact


@audit_app.command()
def export(
    target: Annotated[Path, typer.Argument(help="File to write, JSON lines; examples/verify_audit.py verifies it.")],
    *,
    from_sequence: FirstSequence = 0,
    platform: Platform = False,
    as_json: Json = False,
) -> None:
    """Write the chain to a file, with what is needed to verify it elsewhere."""
    query = {"from_sequence": str(from_sequence)} | ({"platform": "true"} if platform else {})
    with EdgeClient.for_home(Home.from_environment()) as client:
        client.download(f"{_PATH}:export?{urlencode(query)}", target)
    with target.open("rb") as exported:
        lines = sum(1 for _ in exported)
    if as_json:
        print_json({"file": str(target), "entries": lines - 1})
    else:
        print_line(f"{lines - 1} entries in {target}")


def _row(event: AuditEvent) -> tuple[str, ...]:
    record, at = event.record, get_time(event, "occur_time")
    return (
        str(event.sequence),
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "",
        record.subject,
        record.action,
        f"{record.resource_type} {record.resource_id}".strip(),
        _enum_words(enum_name(record, "decision"), _DECISION),
        record.reason,
    )


def _enum_words(value: str, prefix: str) -> str:
    return value.removeprefix(prefix).lower().replace("_", " ")
