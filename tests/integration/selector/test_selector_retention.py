"""Old decisions and closed reservations go; what is young and what is held stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.stores.expired_rows import delete_by_id
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods, RetentionRule
from mesh.testing import FakeClock, id_of
from svc_selector.adapters.postgres.retention import RETENTION_RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 60
_SELECTION = "INSERT INTO selections VALUES ($1, 'acme', NULL, 'job', 'd2@local', 'document', $2)"
_RESERVATION = "INSERT INTO reservations VALUES ($1, 'acme', 'image', $2, $3, 10, 0, $2)"
_REQUEST = "INSERT INTO budget_requests VALUES ($1, 'acme', $1::uuid::text, 'digest', '', 1, 0, 0, $2, 'alice')"
_ACCOUNT = "INSERT INTO budget_accounts VALUES ('acme', $1, $2, $3, 7)"


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("selector")) as opened:
        async with opened.transaction(SYSTEM) as connection:
            for days in (DAYS - 1, DAYS + 1):
                at = NOW - timedelta(days=days)
                await connection.execute(_SELECTION, id_of(at, 1), at)
                await connection.execute(_REQUEST, id_of(at, 1), at)
                for number, state in enumerate(("held", "settled", "released", "expired")):
                    await connection.execute(_RESERVATION, id_of(at, number), at, state)
            for month, reserved in ((3, 0), (3, 5), (4, 0), (5, 0), (7, 0)):
                period = datetime(2026, month, 1, tzinfo=UTC)
                await connection.execute(_ACCOUNT, "image" if reserved else "", period, reserved)
        yield opened


async def run(postgres: Postgres, rules: Sequence[RetentionRule] = RETENTION_RULES, days: int = DAYS) -> dict[str, int]:
    async def terms() -> Mapping[str, RetentionPeriods]:
        return {"selections": RetentionPeriods(days)}

    return dict(await Retention(postgres, rules, terms, FakeClock(NOW)).run())


async def states(postgres: Postgres) -> list[str]:
    async with postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT state FROM reservations ORDER BY reservation_id")
    return [row["state"] for row in rows]


async def accounts(postgres: Postgres) -> list[tuple[int, int]]:
    """Months and reserved amounts."""
    async with postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT * FROM budget_accounts ORDER BY period_start, scope")
    return [(row["period_start"].month, row["reserved_micro_usd"]) for row in rows]


async def test_an_account_goes_when_its_month_is_long_over_and_nothing_of_it_is_held(postgres: Postgres) -> None:
    await run(postgres)
    assert await accounts(postgres) == [(3, 5), (5, 0), (7, 0)]


async def test_the_account_of_this_month_stays_however_short_the_term(postgres: Postgres) -> None:
    await run(postgres, days=1)
    assert (7, 0) in await accounts(postgres)


async def test_what_is_old_goes_and_what_is_held_stays(postgres: Postgres) -> None:
    assert await run(postgres) == {
        "selections": 1, "reservations": 3, "budget_accounts": 2, "budget_requests": 1,
    }  # fmt: skip
    assert await states(postgres) == ["held", "held", "settled", "released", "expired"]
    assert await run(postgres) == {}


async def test_a_rule_that_forgets_what_is_held_is_seen(postgres: Postgres) -> None:
    """The planted bug."""
    careless = RetentionRule(
        "reservations", "selections", delete_by_id("reservations", "reservation_id", "expires_at < $3")
    )
    await run(postgres, [careless])
    assert (await states(postgres)).count("held") == 1
