"""Times that lists are filtered by: what is no time is refused, never an error of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import Reason, SomaError
from mesh.testing.server import served
from soma.provenance.v1 import audit_service_pb2, receipt_service_pb2
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceStub, add_AuditServiceServicer_to_server
from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceStub, add_ReceiptServiceServicer_to_server
from svc_provenance.rpc.audit_service import AuditServicer
from svc_provenance.rpc.receipt_service import ReceiptServicer

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from grpc.aio import Channel

LAST_S = 253_402_300_799


class NoRecords:
    """Lists nothing."""

    async def page(self, *_: object) -> tuple[tuple[()], None]:
        """An empty page without an end."""
        return (), None


async def list_audit(channel: Channel, **times: Timestamp) -> Message:
    return await AuditServiceStub(channel).ListAuditEvents(audit_service_pb2.ListAuditEventsRequest(**times))


async def list_receipts(channel: Channel, **times: Timestamp) -> Message:
    return await ReceiptServiceStub(channel).ListReceipts(receipt_service_pb2.ListReceiptsRequest(**times))


REGISTRATIONS = [
    (add_AuditServiceServicer_to_server, AuditServicer(cast("Any", NoRecords()))),
    (add_ReceiptServiceServicer_to_server, ReceiptServicer(cast("Any", NoRecords()), cast("Any", None))),
]


@pytest.mark.parametrize("listing", [list_audit, list_receipts])
@pytest.mark.parametrize("field", ["start_time", "end_time"])
async def test_what_is_no_time_is_refused(listing: Any, field: str) -> None:  # noqa: ANN401 - two functions of this file
    async with served(REGISTRATIONS) as server:
        for seconds, nanos in ((10**13, 0), (LAST_S + 1, 0), (-1, 0), (-62_135_596_800, 0), (1, 10**9), (1, -1)):
            with pytest.raises(SomaError) as refused:
                await listing(server.channel, **{field: Timestamp(seconds=seconds, nanos=nanos)})
            assert refused.value.reason is Reason.INVALID_ARGUMENT
        for seconds in (1, LAST_S):
            await listing(server.channel, **{field: Timestamp(seconds=seconds)})
