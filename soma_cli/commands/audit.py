"""`soma audit …`: who changed what, and whether the chain of it is whole."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from soma.provenance.v1.audit_service_pb2 import ListAuditEventsResponse, VerifyAuditResponse
from soma_cli.client import EdgeClient
from soma_cli.listing import first_page
from soma_cli.messages import enum_name, moment, parse, plain
from soma_cli.output import Json, emit, line, table
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
From = Annotated[int, typer.Option("--from", min=0, help="From this place on; 0: from the first that is kept.")]
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
    with EdgeClient.of_home(Home.from_environment()) as client:
        given = {name: value for name, value in query.items() if value}
        text = first_page(client, _PATH, "audit_events", given, limit)
    if as_json:
        typer.echo(text)
        return
    columns = ("place", "when", "who", "did", "to", "decision", "why")
    rows = [_row(event) for event in parse(ListAuditEventsResponse, text).audit_events]
    table(columns, rows, below=("why", "to", "who"))


@audit_app.command()
def verify(*, from_sequence: From = 0, digest: Digest = "", platform: Platform = False, as_json: Json = False) -> None:
    """Compute the chain anew, in as many calls as it takes; exit with 1 when something is wrong with it."""
    found: VerifyAuditResponse | None = None
    with EdgeClient.of_home(Home.from_environment()) as client:
        for part in _parts(client, from_sequence, digest, platform=platform):
            found = _joined(found, part) if found else part
            if part.next_sequence and not as_json:
                line(f"checked up to entry {part.next_sequence - 1}")
    if found is None or not _shown(found, as_json=as_json):
        raise typer.Exit(1)


def _parts(client: EdgeClient, from_sequence: int, digest: str, *, platform: bool) -> Iterator[VerifyAuditResponse]:
    """Verifies part after part to the end of the chain."""
    while True:
        body: dict[str, object] = {"platform": platform, "from_sequence": from_sequence}
        previous = {"previous_digest": digest} if digest else {}
        part = client.send(VerifyAuditResponse, f"{_PATH}:verify", body | previous)
        yield part
        if not part.next_sequence:
            return
        from_sequence, digest = part.next_sequence, part.last_digest


def _joined(before: VerifyAuditResponse, part: VerifyAuditResponse) -> VerifyAuditResponse:
    """Two parts that follow each other as one, with the first 1,000 faults."""
    newest = part if part.HasField("anchor") else before
    return VerifyAuditResponse(
        intact=before.intact and part.intact,
        entries=before.entries + part.entries,
        first_sequence=before.first_sequence or part.first_sequence,
        last_sequence=part.last_sequence or before.last_sequence,
        faults=[*before.faults, *part.faults][:_MAX_FAULTS],
        anchor=newest.anchor if newest.HasField("anchor") else None,
        next_sequence=part.next_sequence,
        last_digest=part.last_digest,
    )


def _shown(found: VerifyAuditResponse, *, as_json: bool) -> bool:
    """Prints what was found; gives whether the chain is intact."""
    if as_json:
        emit(plain(found, VERIFICATION))
        return found.intact
    result, style = ("intact", "green") if found.intact else (f"{len(found.faults)} faults", "red")
    line((result, style), f": {found.entries} entries, {found.first_sequence} to {found.last_sequence}")
    if found.HasField("anchor"):
        line(f"newest anchor: entry {found.anchor.sequence}, {moment(found.anchor, 'create_time'):%Y-%m-%d %H:%M:%S}")
    if found.faults:
        rows = [(str(fault.sequence), _word(enum_name(fault, "kind"), _FAULT), fault.detail) for fault in found.faults]
        table(("place", "fault", "detail"), rows)
    return found.intact


@audit_app.command()
def export(
    target: Annotated[Path, typer.Argument(help="File to write, JSON lines; examples/verify_audit.py verifies it.")],
    *,
    from_sequence: From = 0,
    platform: Platform = False,
    as_json: Json = False,
) -> None:
    """Write the chain to a file, with what is needed to verify it elsewhere."""
    query = {"from_sequence": str(from_sequence)} | ({"platform": "true"} if platform else {})
    with EdgeClient.of_home(Home.from_environment()) as client:
        client.save(f"{_PATH}:export?{urlencode(query)}", target)
    with target.open("rb") as written:
        lines = sum(1 for _ in written)
    if as_json:
        emit({"file": str(target), "entries": lines - 1})
    else:
        line(f"{lines - 1} entries in {target}")


def _row(event: AuditEvent) -> tuple[str, ...]:
    record, at = event.record, moment(event, "occur_time")
    return (
        str(event.sequence),
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "",
        record.subject,
        record.action,
        f"{record.resource_type} {record.resource_id}".strip(),
        _word(enum_name(record, "decision"), _DECISION),
        record.reason,
    )


def _word(value: str, prefix: str) -> str:
    return value.removeprefix(prefix).lower().replace("_", " ")
