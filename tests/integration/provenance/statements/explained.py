"""Plans of all statements that run, those in triggers included, as the server itself explains them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.stores.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import asyncpg

_SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Plan:
    """How one statement was run."""

    statement: str
    root: Mapping[str, Any]

    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """All nodes of the plan."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.get("Plans", ()))


async def explain_all(owner: asyncpg.Connection, database: str) -> None:
    """Lets every later session of a database tell the plans of its statements as notices."""
    for name, value in _SETTINGS.items():
        await owner.execute(f"ALTER DATABASE \"{database}\" SET {name} = '{value}'")


class Explained(Postgres):
    """A Postgres that collects the plans of what runs in its transactions."""

    plans: list[Plan]
    first: str = "SELECT"
    """What each transaction begins with."""

    @asynccontextmanager
    async def transaction(self, tenant_id: str | None = None) -> AsyncIterator[asyncpg.Connection]:
        """The same, heard."""
        async with super().transaction(tenant_id) as connection:
            await connection.execute(self.first)
            connection.add_log_listener(self._note_plan)
            try:
                yield connection
                await connection.execute("SELECT")  # ends the statement before, which is told only then
            finally:
                connection.remove_log_listener(self._note_plan)

    def _note_plan(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        _, found, plan = message.message.partition("plan:\n")
        if found:
            told = json.loads(plan)
            self.plans.append(Plan(told["Query Text"], told["Plan"]))
