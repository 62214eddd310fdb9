"""Rows of an earlier version, in which the column of the request holds the job, are read and completed as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.stores.postgres import Postgres
from svc_provenance.adapters.postgres import PostgresRecord
from tests.contract.provenance.test_record import CHART, JOB, REQUEST, Books, execution, finished, stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Database


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Books]:
    async with Postgres.open(await database("provenance")) as postgres:
        yield Books(PostgresRecord(postgres), postgres)


async def written_before(books: Books, asset_type: str | None, capability_id: str | None) -> None:
    assert books.postgres is not None
    async with books.postgres.transaction("acme") as connection:
        await connection.execute(
            "INSERT INTO asset_provenance (asset_id, tenant_id, asset_type, media_type, checksum, created_at, "
            "request_id, capability_id) VALUES ($1, 'acme', $2, '', '', now(), $3, $4)",
            CHART,
            asset_type,
            JOB,
            capability_id,
        )


async def ids(books: Books) -> tuple[str, str]:
    found = await books.record.provenance("acme", CHART)
    assert found is not None
    return found.job_id, found.request_id


async def test_a_whole_row_names_its_job(books: Books) -> None:
    await written_before(books, "diagram", "t@p")
    assert await ids(books) == (JOB, "")


async def test_a_row_that_waits_for_its_asset_names_its_job(books: Books) -> None:
    await written_before(books, None, "t@p")
    await books.tell(stored(CHART))
    assert await ids(books) == (JOB, "")


async def test_a_row_that_waits_for_its_attempt_gets_its_request(books: Books) -> None:
    await written_before(books, "diagram", None)
    await books.tell(finished(execution(1, asset_ids=[CHART], request_id=REQUEST)))
    assert await ids(books) == (JOB, REQUEST)
