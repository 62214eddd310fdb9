"""Old verdicts go, young ones stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing import FakeClock, id_of
from svc_critic.adapters.postgres.retention import RETENTION_RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 60
_EVALUATION = """
INSERT INTO evaluations VALUES ($1, 'acme', 'asset', 'job', NULL, 'digest', true, 1.0, '{}', $2)
"""


async def terms() -> Mapping[str, RetentionPeriods]:
    return {"evaluations": RetentionPeriods(DAYS)}


async def test_verdicts_go_when_they_are_old(database: Database) -> None:
    async with Postgres.open(await database("critic")) as postgres:
        async with postgres.transaction(SYSTEM) as connection:
            for days in (DAYS - 1, DAYS + 1, DAYS + 40):
                at = NOW - timedelta(days=days)
                await connection.execute(_EVALUATION, id_of(at), at)
        retention = Retention(postgres, RETENTION_RULES, terms, FakeClock(NOW))
        assert await retention.run() == {"evaluations": 2}
        assert await retention.run() == {}
