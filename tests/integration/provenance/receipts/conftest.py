"""A harness in a fresh database, and its service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.stores.postgres import Postgres
from mesh.testing import served
from soma.provenance.v1.receipt_service_pb2_grpc import ReceiptServiceStub, add_ReceiptServiceServicer_to_server
from svc_provenance.app.receipts import Receipts
from svc_provenance.app.retention import TenantRetentions
from svc_provenance.rpc.receipt_service import ReceiptServicer
from tests.integration.provenance.receipts.harness import PLATFORM, ReceiptHarness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Database


@pytest.fixture
async def harness(database: Database) -> AsyncIterator[ReceiptHarness]:
    async with Postgres.open(await database("provenance")) as postgres:
        yield ReceiptHarness(postgres)


@pytest.fixture
async def stub(harness: ReceiptHarness) -> AsyncIterator[ReceiptServiceStub]:
    servicer = ReceiptServicer(Receipts(harness.store), TenantRetentions(harness.retention, PLATFORM, harness.clock))
    async with served([(add_ReceiptServiceServicer_to_server, servicer)]) as server:
        yield ReceiptServiceStub(server.channel)
