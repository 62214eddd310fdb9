"""What each statement costs, as Postgres counts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

_COSTS = """
SELECT r.rolname AS role, s.queryid, s.query, s.calls, s.mean_exec_time
FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE r.rolname = ANY($1) AND s.toplevel AND s.query !~* '^(begin|commit|rollback|set|savepoint|release|discard|listen)'
"""


@dataclass(frozen=True)
class Statement:
    """A statement of a context: its text, how often it ran and how long it took on average, in milliseconds."""

    context: str
    text: str
    calls: int
    mean_ms: float


async def enable(connection: asyncpg.Connection) -> None:
    """Let the server count statements from its next start on."""
    await connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    await connection.execute("ALTER SYSTEM SET pg_stat_statements.max = 10000")


async def forget(connection: asyncpg.Connection) -> None:
    """Begin to count anew."""
    await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await connection.execute("SELECT pg_stat_statements_reset()")


async def costs(connection: asyncpg.Connection, contexts: Sequence[str]) -> dict[tuple[str, int], Statement]:
    """The statements of contexts since `forget`."""
    rows = await connection.fetch(_COSTS, list(contexts))
    return {
        (row["role"], row["queryid"]): Statement(row["role"], row["query"], row["calls"], row["mean_exec_time"])
        for row in rows
    }
