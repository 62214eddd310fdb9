"""ReceiptService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import page_size, time_cursor_of, time_cursor_token
from soma.provenance.v1 import receipt_service_pb2 as pb
from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceServicer
from svc_provenance.domain.pages import PageCursor
from svc_provenance.rpc.convert.receipts import (
    receipt_filters_from_proto,
    receipt_to_proto,
    retention_from_proto,
    retention_to_proto,
)

if TYPE_CHECKING:
    import grpc.aio

    from svc_provenance.app.receipts import Receipts
    from svc_provenance.app.retention import TenantRetentions


class ReceiptServicer(ReceiptServiceServicer):
    """Serves receipts, and for how many days records are stored."""

    def __init__(self, receipts: Receipts, retention: TenantRetentions) -> None:
        self._receipts = receipts
        self._retention = retention

    async def ListReceipts(
        self, request: pb.ListReceiptsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListReceiptsResponse:
        """Lists the receipts of the caller's tenant, newest first."""
        cursor = time_cursor_of(request)
        page, last = await self._receipts.page(
            caller().tenant_id,
            receipt_filters_from_proto(request),
            PageCursor(*cursor) if cursor else None,
            page_size(request),
        )
        return pb.ListReceiptsResponse(
            receipts=map(receipt_to_proto, page),
            next_page_token=time_cursor_token(request, last.at, last.id_) if last else "",
        )

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: grpc.aio.ServicerContext) -> pb.Receipt:
        """Reads one receipt, by its own id or the job's."""
        return receipt_to_proto(await self._receipts.get(caller().tenant_id, request.receipt_id.lower()))

    async def GetRetention(self, request: pb.GetRetentionRequest, context: grpc.aio.ServicerContext) -> pb.Retention:
        """Reads for how many days records of the caller's tenant are stored."""
        return retention_to_proto(await self._retention.get(caller().tenant_id))

    async def SetRetention(self, request: pb.SetRetentionRequest, context: grpc.aio.ServicerContext) -> pb.Retention:
        """Sets for how many days records of the caller's tenant are stored."""
        days = retention_from_proto(request.retention)
        return retention_to_proto(await self._retention.set(caller().tenant_id, caller().subject, days))
