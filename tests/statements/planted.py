"""A planted fault: a statement that reads a whole table, as if the chassis sent it. No run of the suite collects it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mesh
from mesh.stores.postgres import SYSTEM, Postgres

if TYPE_CHECKING:
    from tests.conftest import Database

SOURCE = "async def ask(connection):\n    return await connection.fetch('SELECT count(*) FROM rubrics')"


async def test_planted(database: Database) -> None:
    names: dict[str, Any] = {}
    exec(compile(SOURCE, str(Path(mesh.__file__).with_name("planted.py")), "exec"), names)
    async with Postgres.open(await database("critic")) as postgres, postgres.transaction(SYSTEM) as connection:
        await names["ask"](connection)
