"""The audit chain from the bus to the caller."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mesh.errors import Reason, SomaError
from mesh.events.dead_letters import Undertaker
from mesh.events.event import ProtoCodec
from mesh.events.inbox import Consumer
from mesh.events.memory import MemoryBus
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.identity import Claims
from mesh.ids import SystemIds
from mesh.rpc.wellknown import timestamp
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.stores.postgres import SYSTEM
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from mesh.testing.server import served
from mesh.testing.tokens import BOB
from soma.events.v1.audit_pb2 import AUDIT_DECISION_DENIED, AuditRecorded
from soma.events.v1.dead_letter_pb2 import DeadLettered, DeadLetterResolved
from soma.events.v1.envelope_pb2 import Envelope
from soma.provenance.v1 import audit_service_pb2 as pb
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceStub, add_AuditServiceServicer_to_server
from svc_provenance.adapters.audit import _APPEND, _row, append
from svc_provenance.adapters.audit_anchors import KEY, TransitSignatures
from svc_provenance.app.anchoring import Anchorer, AuditUpkeep, Pace
from svc_provenance.domain.audit import DEED_FIELDS, EMPTY, Deed, End, Entry, Statement, link
from svc_provenance.domain.reach import PLATFORM
from svc_provenance.events.audit import AuditIntake
from svc_provenance.rpc.audit import AuditServicer
from tests.chaos.audit.ward import NOW, TENANT, Ward, event, ward

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import date

    from mesh.settings import VaultSettings
    from mesh.testing.engines import Databases
    from mesh.testing.server import Served
    from tests.conftest import Database

SCRIPT = Path(__file__).parents[3] / "examples" / "verify_audit.py"
ROOT_USER = Claims(tenant_id=TENANT, subject="root", roles=("platform_admin",), key_id="key-root")


@pytest.fixture
async def place(databases: Databases, database: Database, tmp_path: Path) -> AsyncIterator[Ward]:
    async with ward(databases, await database("provenance"), tmp_path) as opened:
        yield opened


@pytest.fixture
async def service(place: Ward) -> AsyncIterator[Served]:
    async with served([(add_AuditServiceServicer_to_server, AuditServicer(place.audit))]) as running:
        yield running


async def test_what_a_context_records_arrives_in_its_tenants_chain(place: Ward) -> None:
    bus, codec = MemoryBus(), ProtoCodec(Envelope)
    undertaker = Undertaker(Outbox(), DeadLettered, DeadLetterResolved, ids=SystemIds(), clock=place.clock)
    handlers = AuditIntake(append).handlers()
    async with (
        Consumer(
            bus, place.postgres, codec, "g", ("audit.events",), handlers, undertaker=undertaker, clock=place.clock
        ),
        Relay(place.postgres, bus, codec, place.clock),
    ):
        told = auditor("selector", AuditRecorded)
        for tenant in (TENANT, "", TENANT):
            async with place.postgres.transaction(tenant or SYSTEM) as connection:
                await told.record(
                    connection, action="budget.write", resource_type="budget", resource_id="b",
                    before=None, after=b"1", tenant_id=tenant,
                )  # fmt: skip

        async def arrived() -> bool:
            return [(await place.store.state(chain)).last for chain in (TENANT, PLATFORM)] == [2, 1]

        await eventually(arrived)
    assert [(await place.audit.verify(chain)).faults for chain in (TENANT, PLATFORM)] == [[], []]


async def test_free_text_is_redacted_before_it_is_kept_and_counted(place: Ward) -> None:
    await place.tell(event(1, reason="ann@example.com asked"))
    [linked] = await place.store.span(TENANT, None, 0, 1, 9)
    assert linked.entry.deed.reason == "[email] asked"
    assert place.redacted == {"email": 1}


async def test_entries_are_listed_newest_first_in_pages(place: Ward, service: Served) -> None:
    await place.race(1, 7)
    stub, seen, token = AuditServiceStub(service.channel), [], ""
    while True:
        page = await stub.ListAuditEvents(pb.ListAuditEventsRequest(page_size=3, page_token=token))
        seen += [item.sequence for item in page.audit_events]
        token = page.next_page_token
        if not token:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_page_token_holds_for_its_filters_alone(place: Ward, service: Served) -> None:
    await place.race(1, 4)
    stub = AuditServiceStub(service.channel)
    token = (await stub.ListAuditEvents(pb.ListAuditEventsRequest(page_size=1))).next_page_token
    for wrong in (pb.ListAuditEventsRequest(page_token=token, subject="x"), pb.ListAuditEventsRequest(page_token="x")):
        with pytest.raises(SomaError) as refused:
            await stub.ListAuditEvents(wrong)
        assert refused.value.reason is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "wanted",
    [
        {"subject": "alice3"},
        {"action": "budget.write3"},
        {"resource_type": "budget3"},
        {"resource_id": "b-3"},
        {"decision": AUDIT_DECISION_DENIED},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
async def test_a_filter_leaves_what_fits(place: Ward, service: Served, wanted: dict[str, str]) -> None:
    await place.tell(*(event(n, **({"decision": "AUDIT_DECISION_DENIED"} if n == 3 else {})) for n in range(6)))
    found = await AuditServiceStub(service.channel).ListAuditEvents(pb.ListAuditEventsRequest(**wanted))  # type: ignore[arg-type]
    assert [item.record.resource_id for item in found.audit_events] == ["b-3"]


async def test_times_filter_by_when_it_happened(place: Ward, service: Served) -> None:
    await place.tell(event(1))
    stub, second = AuditServiceStub(service.channel), timedelta(seconds=1)

    async def found(start: timedelta, end: timedelta) -> int:
        request = pb.ListAuditEventsRequest(start_time=timestamp(NOW + start), end_time=timestamp(NOW + end))
        return len((await stub.ListAuditEvents(request)).audit_events)

    assert [await found(0 * second, second), await found(-second, 0 * second)] == [1, 0]


async def test_one_entry_is_read_by_its_id(place: Ward, service: Served) -> None:
    told = event(5)
    await place.tell(told)
    found = await AuditServiceStub(service.channel).GetAuditEvent(pb.GetAuditEventRequest(audit_id=told.event_id))
    assert (found.sequence, found.previous_digest) == (1, "0" * 64)
    assert found.record == AuditRecorded.FromString(told.payload)
    assert found.occur_time.ToDatetime() == NOW.replace(tzinfo=None)


async def test_another_tenants_chain_does_not_exist(place: Ward, service: Served) -> None:
    told = event(5)
    await place.tell(told)
    stub = AuditServiceStub(await service.channel_as(BOB))
    assert not (await stub.ListAuditEvents(pb.ListAuditEventsRequest())).audit_events
    assert (await stub.VerifyAudit(pb.VerifyAuditRequest())).entries == 0
    with pytest.raises(SomaError) as refused:
        await stub.GetAuditEvent(pb.GetAuditEventRequest(audit_id=told.event_id))
    assert refused.value.reason is Reason.NOT_FOUND


async def test_the_platforms_chain_is_for_its_administrators(place: Ward, service: Served) -> None:
    told = event(1, tenant="")
    await place.tell(told)
    request = pb.GetAuditEventRequest(audit_id=told.event_id, platform=True)
    with pytest.raises(SomaError) as refused:
        await AuditServiceStub(service.channel).GetAuditEvent(request)
    assert refused.value.reason is Reason.PERMISSION_DENIED
    stub = AuditServiceStub(await service.channel_as(ROOT_USER))
    assert (await stub.GetAuditEvent(request)).sequence == 1
    assert (await stub.VerifyAudit(pb.VerifyAuditRequest(platform=True))).intact


async def test_a_session_without_a_tenant_sees_no_chain(place: Ward) -> None:
    await place.tell(event(1, tenant=""))
    async with place.postgres.transaction("") as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_events") == 0


async def test_a_pass_says_what_it_verified_and_what_is_wrong(place: Ward, service: Served) -> None:
    await place.race(1, 6)
    await place.anchor()
    stub = AuditServiceStub(service.channel)
    whole = await stub.VerifyAudit(pb.VerifyAuditRequest())
    assert (whole.intact, whole.entries, whole.first_sequence, whole.last_sequence) == (True, 6, 1, 6)
    assert (whole.anchor.sequence, whole.anchor.key_version) == (6, 1)
    part = await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=4))
    assert (part.intact, part.entries, part.first_sequence) == (True, 3, 4)
    await place.race(1, 2)
    end = await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=8))
    assert (end.intact, end.entries, end.anchor.sequence) == (True, 1, 6)
    await place.owner.execute("UPDATE audit_events SET reason = '' WHERE sequence = 5")
    found = await stub.VerifyAudit(pb.VerifyAuditRequest())
    assert [(fault.sequence, fault.kind) for fault in found.faults] == [(5, pb.AUDIT_FAULT_KIND_CHANGED)]
    with pytest.raises(SomaError, match="ends at 8"):
        await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=9))


async def exported(stub: AuditServiceStub, file: Path, **request: int) -> None:
    call: Any = stub.ExportAudit(pb.ExportAuditRequest(**request))  # type: ignore[arg-type]
    pieces = [piece async for piece in call]
    assert {piece.content_type for piece in pieces} == {"application/x-ndjson"}
    await asyncio.to_thread(file.write_bytes, b"".join(piece.data for piece in pieces))


def key_of(file: Path) -> str:
    """The public key that an export names."""
    return str(json.loads(file.read_text().splitlines()[-1])["public_key"])


def spoil(file: Path, old: str, new: str) -> None:
    """Changes a text of an export."""
    file.write_text(file.read_text().replace(old, new))


def verified(file: Path, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(file), *more], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


async def test_an_export_is_verified_elsewhere_by_the_script(place: Ward, service: Served, tmp_path: Path) -> None:
    await place.tell(*(event(number, reason='"é"\n€\x01') for number in range(1_100)))
    await place.anchor()
    stub, file = AuditServiceStub(service.channel), tmp_path / "export.ndjson"
    await exported(stub, file)
    key = key_of(file)
    code, said = await asyncio.to_thread(verified, file, key)
    assert (code, said.startswith("1100 entries, intact; anchored up to entry 1100")) == (0, True), said
    assert (await asyncio.to_thread(verified, file, "another"))[0] == 1
    spoil(file, "alice700", "eve")
    code, said = await asyncio.to_thread(verified, file)
    assert (code, said.splitlines()[0]) == (1, "701: the content does not fit the digest")
    await exported(stub, file, from_sequence=1_000)
    assert (await asyncio.to_thread(verified, file))[0] == 0


async def test_anchors_are_made_after_so_many_entries_or_so_long(place: Ward) -> None:
    hasty = Anchorer(place.store, place.anchors, place.signatures, Pace(3, 3_600, 1), place.clock)
    for size in (1, 2, 1):  # the first at once, then three entries
        await place.race(1, size)
        await hasty.look()
    assert await place.anchors.places(TENANT) == [1, 4]
    await place.race(1, 1)
    await hasty.look()
    assert await place.anchors.places(TENANT) == [1, 4]
    await Anchorer(place.store, place.anchors, place.signatures, Pace(3, 0, 1), place.clock).look()
    assert await place.anchors.places(TENANT) == [1, 4, 5]


def anchor_files(place: Ward) -> list[bytes]:
    return [file.read_bytes() for file in place.folder.rglob("*.json")]


async def test_an_anchor_is_written_once(place: Ward) -> None:
    await place.race(1, 2)
    await place.anchor()
    conflicts: list[int] = []
    anchorer = Anchorer(
        place.store,
        place.anchors,
        place.signatures,
        Pace(1, 1, 1),
        place.clock,
        on_conflict=lambda: conflicts.append(1),
    )
    before = anchor_files(place)
    await anchorer.make(TENANT, End(2, bytes(32)))
    assert conflicts == [1]
    assert anchor_files(place) == before


async def test_statements_are_signed_by_the_secret_store(place: Ward, vault_settings: VaultSettings) -> None:
    async with Vault.open(vault_settings) as vault:
        transit = VaultTransit(vault, vault_settings.transit_mount)
        await transit.create_key(KEY, KeyKind.SIGNING)
        signatures = TransitSignatures(transit, place.clock)
        old = await signatures.sign(Statement.ANCHOR, TENANT, End(1, bytes(32)))
        await transit.rotate(KEY)
        new = await signatures.sign(Statement.ANCHOR, TENANT, End(1, bytes(32)))
        keys = await signatures.public_keys()
    assert (old.key_version, new.key_version) == (1, 2)
    assert [signatures.genuine(Statement.ANCHOR, signed, keys) for signed in (old, new)] == [True, True]
    assert not signatures.genuine(Statement.START, new, keys)


async def aged(place: Ward, chain: str, count: int, days: int) -> date:
    """A chain whose entries were recorded so many days ago; gives their month."""
    moment = place.clock.now() - timedelta(days=days)
    await place.owner.execute("SELECT soma_make_month('audit_events', $1)", moment.date().replace(day=1))
    deed = Deed(**dict.fromkeys(DEED_FIELDS, "x"))
    end, rows = EMPTY, []
    for number in range(1, count + 1):
        linked = link(end, Entry(chain, number, f"old{number}", moment, moment, deed))
        rows.append(_row(linked))
        end = linked.end
    await place.owner.executemany(_APPEND, rows)
    await place.owner.execute("INSERT INTO audit_heads VALUES ($1, $2, $3, $4)", chain, count, end.digest, moment)
    return moment.date().replace(day=1)


def upkeep_of(place: Ward, days: int) -> AuditUpkeep:
    async def longest() -> int:
        return days

    return AuditUpkeep(place.store, place.signatures, longest, place.clock)


async def test_old_months_are_dropped_and_what_is_left_still_verifies(place: Ward) -> None:
    await aged(place, TENANT, 4, days=500)
    await aged(place, "umbrella", 2, days=500)
    await place.anchor()
    await place.race(1, 3)
    assert await upkeep_of(place, 400).run() == 6
    report = await place.audit.verify(TENANT)
    assert (report.faults, report.entries, report.first, report.last) == ([], 3, 5, 7)
    assert (await place.audit.verify("umbrella")).faults == []
    await place.tell(event(9, tenant="umbrella"))
    assert (await place.audit.verify("umbrella")).first == 3
    assert await upkeep_of(place, 400).run() == 0


async def test_a_month_younger_than_the_term_stays(place: Ward) -> None:
    await aged(place, TENANT, 4, days=500)
    assert await upkeep_of(place, 490).run() == 0
    assert (await place.audit.verify(TENANT)).entries == 4


@pytest.mark.parametrize(("days", "said"), [(1, "90 days"), (500, "lose their start")])
async def test_a_month_goes_neither_early_nor_without_the_chains_new_start(place: Ward, days: int, said: str) -> None:
    month = await aged(place, TENANT, 4, days=days)
    with pytest.raises(asyncpg.RaiseError, match=said):
        await place.store.drop(month, [])
    assert (await place.audit.verify(TENANT)).entries == 4


async def test_what_strayed_moves_into_the_month_that_is_made_for_it(place: Ward) -> None:
    await aged(place, TENANT, 4, days=500)
    later = place.clock.now() + timedelta(days=300)
    await place.owner.execute("SET session_replication_role = origin")
    await place.owner.execute("UPDATE audit_heads SET recorded_at = $1", later)
    await place.race(1, 2)
    assert await place.owner.fetchval("SELECT count(*) FROM audit_events_default") == 2
    await place.store.lay_out(later.date())
    assert await place.owner.fetchval("SELECT count(*) FROM audit_events_default") == 0
    assert (await place.audit.verify(TENANT)).entries == 6
