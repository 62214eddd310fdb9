"""A relay or a consumer in a process of its own, to be killed; or a relay with the bug that loses rows."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh.clock import SystemClock
from mesh.events.bus import Record
from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.settings import PostgresSettings
from mesh.stores.postgres import SYSTEM, Postgres
from tests.chaos.mesh.events.buses import BusUnderTest

if TYPE_CHECKING:
    import asyncpg

    from mesh.events.bus import Bus

TOPIC = "probe.events"
GROUP = "g"
BATCH = 50
_AFTER = """
SELECT id, event_id::text, type, topic, key, tenant_id, occurred_at, payload FROM outbox
WHERE id > $1 ORDER BY id LIMIT $2
"""


@dataclass(frozen=True)
class WorkerOptions:
    """What a process is to do: `role` is relay, naive or consumer."""

    role: str
    dsn: str
    kind: str
    where: str


async def naive(postgres: Postgres, bus: Bus) -> None:
    """The planted bug: remembers the last id, and never sees a row with a lower one that commits later."""
    codec = Codec()
    while True:
        async with postgres.transaction(SYSTEM) as connection:
            last = await connection.fetchval("SELECT last FROM naive_cursor")
            rows = await connection.fetch(_AFTER, last, BATCH)
            events = [Event(*values) for _, *values in rows]
            await bus.publish([Record(each.topic, each.key, each.event_id, codec.encode(each)) for each in events])
            if rows:
                ids = [row["id"] for row in rows]
                await connection.execute("UPDATE naive_cursor SET last = $1", ids[-1])
                await connection.execute("UPDATE outbox SET sent_at = now() WHERE id = ANY($1::bigint[])", ids)
        await asyncio.sleep(0)


async def apply(connection: asyncpg.Connection, event: Event) -> None:
    """The effect: one row."""
    await connection.execute("INSERT INTO applied (payload) VALUES ($1)", event.payload.decode())


async def main(options: WorkerOptions) -> None:
    """Work until killed."""
    codec, clock, ids = Codec(), SystemClock(), SystemIds()
    settings = PostgresSettings(dsn=SecretStr(options.dsn), schema_name="probe")
    async with (
        Postgres.open(settings) as postgres,
        BusUnderTest(options.kind, options.where).open(postgres, [TOPIC]) as bus,
    ):
        if options.role == "naive":
            await naive(postgres, bus)
        dead_letter_sink = DeadLetterPublisher(Outbox(), ids=ids, clock=clock)
        part = (
            Relay(postgres, bus, codec, clock, batch=BATCH)
            if options.role == "relay"
            else Consumer(
                bus,
                postgres,
                codec,
                GROUP,
                [TOPIC],
                {"noted": apply},
                dead_letter_sink=dead_letter_sink,
                clock=clock,
                batch=BATCH,
            )
        )
        async with part:
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(WorkerOptions(**json.loads(sys.argv[1]))))
