"""A chain in a fresh database, and its service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.testing.server import served
from soma.provenance.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from svc_provenance.rpc.audit_service import AuditServicer
from tests.chaos.provenance.audit.under_test import AuditUnderTest, under_test

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.testing.server import RunningServer
    from soma_local.testing.engines import Databases
    from tests.conftest import Database


@pytest.fixture
async def place(databases: Databases, database: Database, tmp_path: Path) -> AsyncIterator[AuditUnderTest]:
    async with under_test(databases, await database("provenance"), tmp_path) as opened:
        yield opened


@pytest.fixture
async def service(place: AuditUnderTest) -> AsyncIterator[RunningServer]:
    async with served([(add_AuditServiceServicer_to_server, AuditServicer(place.audit))]) as running:
        yield running
