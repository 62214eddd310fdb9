"""Rows of an earlier version, in which the column of the request holds the job, are read and completed as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.stores.postgres import Postgres
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.rpc.convert.summaries import summary_from_proto
from tests.contract.provenance.test_provenance_store import (
    CHART,
    JOB,
    REQUEST,
    StoreHarness,
    execution,
    finished,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Database


@pytest.fixture
async def harness(database: Database) -> AsyncIterator[StoreHarness]:
    async with Postgres.open(await database("provenance")) as postgres:
        yield StoreHarness(PostgresProvenanceStore(postgres, summary_from_proto), postgres)


async def written_before(harness: StoreHarness, asset_type: str | None, capability_id: str | None) -> None:
    assert harness.postgres is not None
    async with harness.postgres.transaction("acme") as connection:
        await connection.execute(
            "INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, media_type, checksum, created_at, "
            "request_id, capability_id) VALUES ($1, 'acme', $2, '', '', now(), $3, $4)",
            CHART,
            asset_type,
            JOB,
            capability_id,
        )


async def ids(harness: StoreHarness) -> tuple[str, str]:
    found = await harness.store.provenance("acme", CHART)
    assert found is not None
    return found.job_id, found.request_id


async def test_a_whole_row_names_its_job(harness: StoreHarness) -> None:
    await written_before(harness, "diagram", "t@p")
    assert await ids(harness) == (JOB, "")


async def test_a_row_that_waits_for_its_asset_names_its_job(harness: StoreHarness) -> None:
    await written_before(harness, None, "t@p")
    await harness.tell(stored(CHART))
    assert await ids(harness) == (JOB, "")


async def test_a_row_that_waits_for_its_attempt_gets_its_request(harness: StoreHarness) -> None:
    await written_before(harness, "diagram", None)
    await harness.tell(finished(execution(1, asset_ids=[CHART], request_id=REQUEST)))
    assert await ids(harness) == (JOB, REQUEST)
