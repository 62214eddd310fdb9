"""Events are written with the state they speak of, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import context

if TYPE_CHECKING:
    import asyncpg

    from mesh.events.event import Event

_INSERT = """
INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                    correlation_id, traceparent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


class Outbox:
    """Where a use case leaves its events; a `Relay` sends them once the transaction has committed."""

    async def add(self, connection: asyncpg.Connection, *events: Event) -> None:
        """Add events to the open transaction, in order; those without a trace get the one of the request."""
        request = context.current()
        trace = request.traceparent if request is not None else ""
        await connection.executemany(
            _INSERT,
            [
                (
                    event.event_id, event.tenant_id, event.type, event.topic, event.key, event.occurred_at,
                    event.payload, event.schema_version, event.causation_id, event.correlation_id,
                    event.traceparent or trace,
                )
                for event in events
            ],
        )  # fmt: skip
