"""Events are written with the state they speak of, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import context, tracing
from mesh.events.topics import DEAD_LETTERS
from mesh.settings.bus import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Collection

    import asyncpg

    from mesh.events.event import Event

# One statement for all, in their order: ids are given out as rows come, and listeners are told once. An event that is
# there already was added by a transaction whose answer was lost.
_INSERT = """
INSERT INTO outbox (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
                    correlation_id, traceparent, consumer_group, dlq_id)
SELECT event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id, correlation_id,
       traceparent, consumer_group, dlq_id
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[], $8::integer[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
     WITH ORDINALITY AS event (event_id, tenant_id, type, topic, key, occurred_at, payload, schema_version,
                               causation_id, correlation_id, traceparent, consumer_group, dlq_id, number)
ORDER BY number
ON CONFLICT (event_id) DO NOTHING
"""


class Outbox:
    """Where a use case leaves its events; a `Relay` sends them once the transaction has committed.

    `topics` are those that may be written, None for any; events that are sent again may go to all.
    """

    def __init__(self, topics: Collection[str] | None = None) -> None:
        self._topics = topics

    async def add(self, connection: asyncpg.Connection, *events: Event) -> None:
        """Add events to the open transaction, in order; those without a trace get that of the span they arise in.

        An event whose id is there already is not added again.
        Raise ValueError for one that is too large to travel: it would hold up all that come after it, and for one of
        a topic that may not be written.
        """
        for event in events:
            sent_again = event.group or event.dlq_id
            if self._topics is not None and not sent_again and event.topic not in self._topics:
                raise ValueError(f"the topic {event.topic} is not declared: name it in `publishes` of the context")
            if len(event.payload) > LARGEST_PAYLOAD and event.topic != DEAD_LETTERS:
                raise ValueError(f"an event of type {event.type} is larger than 3 MiB: keep a blob and send its claim")
        if not events:
            return
        request = context.current()
        trace = tracing.current() or (request.traceparent if request is not None else "")
        rows = [
            (
                event.event_id, event.tenant_id, event.type, event.topic, event.key, event.occurred_at,
                event.payload, event.schema_version, event.causation_id, event.correlation_id,
                event.traceparent or trace, event.group, event.dlq_id,
            )
            for event in events
        ]  # fmt: skip
        await connection.execute(_INSERT, *zip(*rows, strict=True))
