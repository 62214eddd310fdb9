"""Claims on dead letters whose workflows are to be signalled, and the numbers of dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.stores.postgres import FORCE_INDEX_SCAN, SYSTEM
from svc_provenance.domain.dead_letters import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mesh.stores.postgres import Postgres

MAX_COUNT = 10_000
"""Dead letters of one state are counted up to this number."""
_LEASE, _OVERDUE = timedelta(seconds=30), timedelta(minutes=5)


@dataclass(frozen=True)
class DeadLetterChange:
    """A dead letter that changed: `changes` counts its changes."""

    tenant_id: str
    dlq_id: str
    changes: int
    correlation_id: str
    group: str
    topic: str


class DeadLetterClaims:
    """Gives each dead letter to one replica at a time. When a replica dies, its claim expires."""

    def __init__(self, postgres: Postgres, *, lease: timedelta = _LEASE, overdue: timedelta = _OVERDUE) -> None:
        self._postgres = postgres
        self._lease = lease
        self._overdue = overdue

    async def changed(self, limit: int) -> Sequence[DeadLetterChange]:
        """Claims dead letters with changes that their workflow was not signalled of, longest waiting first."""
        return await self._claim(_CLAIM_CHANGED, limit, self._lease)

    async def overdue(self, limit: int) -> Sequence[DeadLetterChange]:
        """Claims dead letters that are long overdue: their workflow may have been lost.

        One that stays overdue is claimed again as long after its claim: the others have their turn first.
        """
        return await self._claim(_CLAIM_OVERDUE, limit, self._overdue)

    async def mark_signalled(self, dead_letter: DeadLetterChange) -> None:
        """Ends the claim on a dead letter whose workflow was signalled."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_MARK_SIGNALLED, dead_letter.dlq_id, dead_letter.changes)

    async def release(self, dead_letters: Iterable[DeadLetterChange]) -> None:
        """Ends the claim on dead letters that were not signalled, so that other replicas claim them at once."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_RELEASE, [dead_letter.dlq_id for dead_letter in dead_letters])

    async def counts(self) -> Mapping[str, int]:
        """Returns numbers of dead letters by state, of all tenants; `MAX_COUNT` means as many or more."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_COUNTS, [state.value for state in State], MAX_COUNT)
        return {row["state"]: row["number"] for row in rows}

    async def _claim(self, statement: str, limit: int, lease: timedelta) -> Sequence[DeadLetterChange]:
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(FORCE_INDEX_SCAN)
            rows = await connection.fetch(statement, limit, lease)
        return [DeadLetterChange(**row) for row in rows]


_CLAIM = """
UPDATE dlq_messages AS d SET claimed_until = clock_timestamp() + {lease}
WHERE d.dlq_id = ANY(ARRAY(SELECT id FROM found))
RETURNING d.tenant_id, d.dlq_id::text AS dlq_id, d.news AS changes, d.correlation_id, d.consumer_group AS "group",
    d.topic
"""
_CLAIM_CHANGED = f"""
WITH found AS (
    SELECT dlq_id AS id FROM dlq_messages
    WHERE followed < news AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
    ORDER BY updated_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
{_CLAIM.format(lease="$2::interval")}
"""  # noqa: S608
# statement_timestamp() is the same for the whole statement, so that dead letters that are not overdue are not read.
# A claim moves a dead letter to the end of the index, so that later batches do not scan those of earlier ones; it
# needs no lease, since both times must be as long past.
_CLAIM_OVERDUE = f"""
WITH found AS (
    SELECT dlq_id AS id FROM dlq_messages
    WHERE state IN ('waiting', 'blocked') AND followed >= news
        AND greatest(requeue_at, claimed_until) < statement_timestamp() - $2::interval
    ORDER BY greatest(requeue_at, claimed_until) LIMIT $1 FOR UPDATE SKIP LOCKED
)
{_CLAIM.format(lease="interval '0'")}
"""  # noqa: S608
_MARK_SIGNALLED = "UPDATE dlq_messages SET followed = greatest(followed, $2), claimed_until = NULL WHERE dlq_id = $1"
_RELEASE = "UPDATE dlq_messages SET claimed_until = NULL WHERE dlq_id = ANY($1::uuid[])"
# ORDER BY makes the planner use the index on state even for a state that statistics call frequent and that no dead
# letter has. The index includes tenant_id, which the row-level policy reads, so that no row is fetched.
_COUNTS = """
SELECT state, (
    SELECT count(*) FROM (
        SELECT FROM dlq_messages AS d WHERE d.state >= s.state AND d.state <= s.state ORDER BY d.state LIMIT $2
    ) AS bounded
) AS number
FROM unnest($1::text[]) AS s (state)
"""
