"""Old verdicts go, young ones stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, one_term
from mesh.testing import FakeClock
from svc_critic.adapters.retention import RULES

if TYPE_CHECKING:
    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 60
_EVALUATION = """
INSERT INTO evaluations VALUES ($1, 'acme', 'asset', 'job', NULL, 'digest', true, 1.0, '{}', $2)
"""


async def test_verdicts_go_when_they_are_old(database: Database) -> None:
    async with Postgres.open(await database("critic")) as postgres:
        async with postgres.transaction(SYSTEM) as connection:
            for days in (DAYS - 1, DAYS + 1, DAYS + 40):
                at = NOW - timedelta(days=days)
                stamp = f"{int(at.timestamp() * 1000):012x}"
                await connection.execute(_EVALUATION, f"{stamp[:8]}-{stamp[8:]}-7000-8000-000000000000", at)
        retention = Retention(postgres, RULES, one_term("evaluations", DAYS), FakeClock(NOW))
        assert await retention.run() == {"evaluations": 2}
        assert await retention.run() == {}
