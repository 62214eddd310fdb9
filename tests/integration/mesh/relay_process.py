"""A relay in a process of its own, to be killed: the real one, or one with the bug that loses rows."""

from __future__ import annotations

import asyncio
import os
import sys

from pydantic import SecretStr

from mesh.clock import SystemClock
from mesh.events.bus import Record
from mesh.events.event import Event, ProtoCodec
from mesh.events.relay import Relay
from mesh.events.streams import MemoryCursors, ValkeyStreams
from mesh.settings import PostgresSettings, ValkeySettings
from mesh.stores import valkey
from mesh.stores.postgres import SYSTEM, Postgres
from soma.events.v1 import envelope_pb2

BATCH = 20
_AFTER = """
SELECT id, event_id::text, tenant_id, type, topic, key, occurred_at, payload, schema_version, causation_id,
       correlation_id, traceparent
FROM outbox WHERE id > $1 ORDER BY id LIMIT $2
"""


async def naive(postgres: Postgres, bus: ValkeyStreams) -> None:
    """The planted bug: remembers the last id, and never sees a row with a lower one that commits later."""
    codec = ProtoCodec(envelope_pb2.Envelope)
    while True:
        async with postgres.transaction(SYSTEM) as connection:
            last = await connection.fetchval("SELECT last FROM naive_cursor")
            rows = await connection.fetch(_AFTER, last, BATCH)
            events = [Event(**{name: value for name, value in row.items() if name != "id"}) for row in rows]
            await bus.publish([Record(each.topic, each.key, each.event_id, codec.encode(each)) for each in events])
            if rows:
                await connection.execute("UPDATE naive_cursor SET last = $1", rows[-1]["id"])
                await connection.execute("UPDATE outbox SET sent_at = now() WHERE id <= $1", rows[-1]["id"])
        await asyncio.sleep(0)


async def main(kind: str) -> None:
    """Relay until killed."""
    settings = PostgresSettings(dsn=SecretStr(os.environ["RELAY_DSN"]), schema_name="probe")
    async with (
        Postgres.open(settings) as postgres,
        valkey.open(ValkeySettings(url=SecretStr(os.environ["RELAY_VALKEY"]))) as client,
    ):
        bus = ValkeyStreams(client, MemoryCursors())
        if kind == "naive":
            await naive(postgres, bus)
        async with Relay(postgres, bus, ProtoCodec(envelope_pb2.Envelope), SystemClock(), batch=BATCH):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
