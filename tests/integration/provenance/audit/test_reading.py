"""What a caller reads of the audit chain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.identity import Claims
from mesh.rpc.wellknown import timestamp
from mesh.testing.tokens import BOB
from soma.events.v1.audit_pb2 import AUDIT_DECISION_DENIED, AuditRecorded
from soma.provenance.v1 import audit_service_pb2 as pb
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceStub
from tests.chaos.provenance.audit.under_test import NOW, TENANT, AuditUnderTest, event

if TYPE_CHECKING:
    from mesh.testing.server import RunningServer


ROOT_USER = Claims(tenant_id=TENANT, subject="root", roles=("platform_admin",), key_id="key-root")


async def test_entries_are_listed_newest_first_in_pages(place: AuditUnderTest, service: RunningServer) -> None:
    await place.race(1, 7)
    stub, seen, token = AuditServiceStub(service.channel), [], ""
    while True:
        page = await stub.ListAuditEvents(pb.ListAuditEventsRequest(page_size=3, page_token=token))
        seen += [item.sequence for item in page.audit_events]
        token = page.next_page_token
        if not token:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_a_page_token_holds_for_its_filters_alone(place: AuditUnderTest, service: RunningServer) -> None:
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
async def test_a_filter_leaves_what_fits(place: AuditUnderTest, service: RunningServer, wanted: dict[str, str]) -> None:
    await place.tell(*(event(n, **({"decision": "AUDIT_DECISION_DENIED"} if n == 3 else {})) for n in range(6)))
    found = await AuditServiceStub(service.channel).ListAuditEvents(pb.ListAuditEventsRequest(**wanted))  # type: ignore[arg-type]
    assert [item.record.resource_id for item in found.audit_events] == ["b-3"]


async def test_times_filter_by_when_it_happened(place: AuditUnderTest, service: RunningServer) -> None:
    await place.tell(event(1))
    stub, second = AuditServiceStub(service.channel), timedelta(seconds=1)

    async def found(start: timedelta, end: timedelta) -> int:
        request = pb.ListAuditEventsRequest(start_time=timestamp(NOW + start), end_time=timestamp(NOW + end))
        return len((await stub.ListAuditEvents(request)).audit_events)

    assert [await found(0 * second, second), await found(-second, 0 * second)] == [1, 0]


async def test_one_entry_is_read_by_its_id(place: AuditUnderTest, service: RunningServer) -> None:
    told = event(5)
    await place.tell(told)
    found = await AuditServiceStub(service.channel).GetAuditEvent(pb.GetAuditEventRequest(audit_id=told.event_id))
    assert (found.sequence, found.previous_digest) == (1, "0" * 64)
    assert found.record == AuditRecorded.FromString(told.payload)
    assert found.occur_time.ToDatetime() == NOW.replace(tzinfo=None)


async def test_another_tenants_chain_does_not_exist(place: AuditUnderTest, service: RunningServer) -> None:
    told = event(5)
    await place.tell(told)
    stub = AuditServiceStub(await service.channel_as(BOB))
    assert not (await stub.ListAuditEvents(pb.ListAuditEventsRequest())).audit_events
    assert (await stub.VerifyAudit(pb.VerifyAuditRequest())).entries == 0
    with pytest.raises(SomaError) as refused:
        await stub.GetAuditEvent(pb.GetAuditEventRequest(audit_id=told.event_id))
    assert refused.value.reason is Reason.NOT_FOUND


async def test_the_platforms_chain_is_for_its_administrators(place: AuditUnderTest, service: RunningServer) -> None:
    told = event(1, tenant="")
    await place.tell(told)
    request = pb.GetAuditEventRequest(audit_id=told.event_id, platform=True)
    with pytest.raises(SomaError) as refused:
        await AuditServiceStub(service.channel).GetAuditEvent(request)
    assert refused.value.reason is Reason.PERMISSION_DENIED
    stub = AuditServiceStub(await service.channel_as(ROOT_USER))
    assert (await stub.GetAuditEvent(request)).sequence == 1
    assert (await stub.VerifyAudit(pb.VerifyAuditRequest(platform=True))).intact


async def test_a_session_without_a_tenant_sees_no_chain(place: AuditUnderTest) -> None:
    await place.tell(event(1, tenant=""))
    async with place.postgres.transaction("") as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_events") == 0
