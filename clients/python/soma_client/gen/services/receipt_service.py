"""Reads receipts; sets for how long a tenant's records are kept."""

# Generated from protos/soma/provenance/v1/receipt_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from datetime import datetime

from soma_client.calls import Caller
from soma_client.gen.soma.provenance import v1 as provenance_v1
from soma_client.paging import Pages


class ReceiptServiceMethods:
    """Reads receipts; sets for how long a tenant's records are kept."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(
        self,
        *,
        form: provenance_v1.ReceiptForm = provenance_v1.ReceiptForm(0),
        cause: provenance_v1.ReceiptCause = provenance_v1.ReceiptCause(0),
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pages[provenance_v1.ListReceiptsResponse, provenance_v1.Receipt]:
        """Lists the receipts of the caller's tenant, newest first.

        Args:
            form: Only of this form.
            cause: Only with this cause.
            start_time: Only jobs that ended at or after this, 1970 or later.
            end_time: Only jobs that ended before this, 1970 or later.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> provenance_v1.ListReceiptsRequest:
            return provenance_v1.ListReceiptsRequest(
                form=form, cause=cause, start_time=start_time, end_time=end_time, page_size=page_size, page_token=token
            )

        return Pages(
            self._caller,
            "/soma.provenance.v1.ReceiptService/ListReceipts",
            request,
            provenance_v1.ListReceiptsResponse,
            lambda page: page.receipts,
            page_token=page_token,
            timeout=timeout,
        )

    async def get(self, receipt_id: str, *, timeout: float | None = None) -> provenance_v1.Receipt:
        """Reads one receipt, by its own id or the job's.

        Args:
            receipt_id: Id of the receipt or of its job. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetReceiptRequest(receipt_id=receipt_id)
        return await self._caller.unary(
            "/soma.provenance.v1.ReceiptService/GetReceipt", request, provenance_v1.Receipt, timeout
        )

    async def get_retention(self, *, timeout: float | None = None) -> provenance_v1.Retention:
        """Reads how long the caller's tenant's records are kept.

        Args:
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetRetentionRequest()
        return await self._caller.unary(
            "/soma.provenance.v1.ReceiptService/GetRetention", request, provenance_v1.Retention, timeout
        )

    async def set_retention(
        self, retention: provenance_v1.Retention, *, timeout: float | None = None
    ) -> provenance_v1.Retention:
        """Sets how long the caller's tenant's records are kept. Shortening it removes records at the next run.

        Args:
            retention: The days. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.SetRetentionRequest(retention=retention)
        return await self._caller.unary(
            "/soma.provenance.v1.ReceiptService/SetRetention", request, provenance_v1.Retention, timeout
        )
