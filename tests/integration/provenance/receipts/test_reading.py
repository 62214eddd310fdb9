"""Receipts and their terms, read and set by their tenant alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import SomaError
from mesh.rpc.wellknown import timestamp
from soma.events.v1.audit_pb2 import AuditRecorded
from soma.provenance.v1 import receipt_service_pb2 as pb
from svc_provenance.domain.receipts import receipt_id_of
from tests.integration.provenance.receipts.harness import IDS, NOW, ReceiptHarness

if TYPE_CHECKING:
    from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceStub


async def test_receipts_are_paged_newest_first_without_attempts(
    harness: ReceiptHarness, stub: ReceiptServiceStub
) -> None:
    jobs = [await harness.job(number, error="TIMEOUT") for number in range(5)]
    found: list[pb.Receipt] = []
    token = ""
    for size in (2, 2, 1):
        page = await stub.ListReceipts(pb.ListReceiptsRequest(page_size=2, page_token=token))
        assert len(page.receipts) == size
        found += page.receipts
        token = page.next_page_token
    assert token == ""
    assert [receipt.job_id for receipt in found] == jobs[::-1]
    assert not any(receipt.attempt_details for receipt in found)
    one = await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=found[0].receipt_id))
    assert (one.job_id, len(one.attempt_details)) == (jobs[-1], 1)
    assert await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=jobs[-1])) == one


async def test_receipts_are_filtered_by_form_cause_and_end(harness: ReceiptHarness, stub: ReceiptServiceStub) -> None:
    fine = await harness.job(0)
    failed = await harness.job(1, error="TIMEOUT")
    for request, expected in (
        (pb.ListReceiptsRequest(form=pb.RECEIPT_FORM_COMPACT), [fine]),
        (pb.ListReceiptsRequest(cause=pb.RECEIPT_CAUSE_TOOL_FAILED), [failed]),
        (pb.ListReceiptsRequest(cause=pb.RECEIPT_CAUSE_LOW_QUALITY), []),
        (pb.ListReceiptsRequest(start_time=timestamp(NOW + timedelta(seconds=1))), [failed]),
        (pb.ListReceiptsRequest(end_time=timestamp(NOW + timedelta(seconds=1))), [fine]),
    ):
        assert [receipt.job_id for receipt in (await stub.ListReceipts(request)).receipts] == expected


async def test_a_page_token_belongs_to_its_filters(harness: ReceiptHarness, stub: ReceiptServiceStub) -> None:
    for number in range(2):
        await harness.job(number)
    page = await stub.ListReceipts(pb.ListReceiptsRequest(page_size=1))
    for token in (page.next_page_token, "nonsense", "1.2.3", f"{10**30}.{IDS.new()}.x"):
        with pytest.raises(SomaError) as refused:
            await stub.ListReceipts(pb.ListReceiptsRequest(form=pb.RECEIPT_FORM_COMPACT, page_token=token))
        assert [violation.field for violation in refused.value.fields] == ["page_token"]


async def test_another_tenants_receipt_does_not_exist(harness: ReceiptHarness, stub: ReceiptServiceStub) -> None:
    job_id = await harness.job(tenant="umbrella")
    assert not (await stub.ListReceipts(pb.ListReceiptsRequest())).receipts
    for id_ in (job_id, receipt_id_of("umbrella", job_id)):
        with pytest.raises(SomaError, match="receipt"):
            await stub.GetReceipt(pb.GetReceiptRequest(receipt_id=id_))


async def test_a_tenant_keeps_its_records_as_long_as_it_says(harness: ReceiptHarness, stub: ReceiptServiceStub) -> None:
    before = await stub.GetRetention(pb.GetRetentionRequest())
    assert (before.traces_days, before.updated_by, before.HasField("update_time")) == (90, "", False)
    wanted = pb.Retention(receipts_days=30, traces_days=7, audit_days=90, dead_letters_days=1)
    answer = await stub.SetRetention(pb.SetRetentionRequest(retention=wanted))
    assert (answer.traces_days, answer.updated_by != "", answer.HasField("update_time")) == (7, True, True)
    assert await stub.GetRetention(pb.GetRetentionRequest()) == answer
    async with harness.postgres.transaction("acme") as connection:
        told = await connection.fetchval("SELECT payload FROM outbox WHERE topic = 'audit.events'")
    entry = AuditRecorded.FromString(told)
    assert (entry.action, entry.resource_id, entry.subject) == ("retention.write", "acme", "alice")
    assert (entry.before_digest, len(entry.after_digest)) == ("", 64)
    terms = await harness.retention.periods()
    assert terms["traces"].days_by_tenant == {"acme": 7}
    assert terms["audit"].longest == 730


async def test_days_out_of_bounds_are_refused_by_name(stub: ReceiptServiceStub) -> None:
    wrong = pb.Retention(receipts_days=30, traces_days=7, audit_days=30, dead_letters_days=9_999)
    with pytest.raises(SomaError) as refused:
        await stub.SetRetention(pb.SetRetentionRequest(retention=wrong))
    fields = {violation.field for violation in refused.value.fields}
    assert fields == {"retention.audit_days", "retention.dead_letters_days"}
