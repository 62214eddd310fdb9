"""Old decisions and closed reservations go; what is young and what is held stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, Rule, Terms, old_rows
from mesh.testing import FakeClock, id_of
from svc_selector.adapters.postgres.retention import RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from tests.conftest import Database

NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 60
_SELECTION = "INSERT INTO selections VALUES ($1, 'acme', NULL, 'job', 'd2@local', 'document', $2)"
_RESERVATION = "INSERT INTO reservations VALUES ($1, 'acme', 'image', $2, $3, 10, 0, $2)"


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("selector")) as opened:
        async with opened.transaction(SYSTEM) as connection:
            for days in (DAYS - 1, DAYS + 1):
                at = NOW - timedelta(days=days)
                await connection.execute(_SELECTION, id_of(at, 1), at)
                for number, state in enumerate(("held", "settled", "released", "expired")):
                    await connection.execute(_RESERVATION, id_of(at, number), at, state)
        yield opened


async def run(postgres: Postgres, rules: Sequence[Rule] = RULES) -> dict[str, int]:
    async def terms() -> Mapping[str, Terms]:
        return {"selections": Terms(DAYS)}

    return dict(await Retention(postgres, rules, terms, FakeClock(NOW)).run())


async def states(postgres: Postgres) -> list[str]:
    async with postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT state FROM reservations ORDER BY reservation_id")
    return [row["state"] for row in rows]


async def test_what_is_old_goes_and_what_is_held_stays(postgres: Postgres) -> None:
    assert await run(postgres) == {"selections": 1, "reservations": 3}
    assert await states(postgres) == ["held", "held", "settled", "released", "expired"]
    assert await run(postgres) == {}


async def test_a_rule_that_forgets_what_is_held_is_seen(postgres: Postgres) -> None:
    """The planted bug."""
    careless = Rule("reservations", "selections", old_rows("reservations", "reservation_id", "expires_at < $3"))
    await run(postgres, [careless])
    assert (await states(postgres)).count("held") == 1
