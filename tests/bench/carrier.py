"""A relay or a consumer in a process of its own, as a context runs it."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop
from pydantic import SecretStr

from mesh.clock import SystemClock
from mesh.events.dead_letters import Undertaker
from mesh.events.event import ProtoCodec
from mesh.events.inbox import Consumer, Together
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.settings import PostgresSettings
from mesh.stores.postgres import Postgres
from soma.events.v1.dead_letter_pb2 import DeadLettered, DeadLetterResolved
from soma.events.v1.envelope_pb2 import Envelope
from tests.chaos.events.lines import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from mesh.events.event import Event
    from mesh.events.inbox import Handlers

TOPIC, TYPE = "probe.events", "bench.noted"
_EFFECT = "INSERT INTO applied (event_id, occurred_at) VALUES ($1, $2)"


@dataclass(frozen=True)
class Orders:
    """What a process is to do: `role` is relay, singly or together; the latter two are consumers."""

    role: str
    dsn: str
    kind: str
    where: str


async def _apply(connection: asyncpg.Connection, event: Event) -> None:
    await connection.execute(_EFFECT, event.event_id, event.occurred_at)


async def _apply_all(connection: asyncpg.Connection, events: Sequence[Event]) -> None:
    await connection.executemany(_EFFECT, [(event.event_id, event.occurred_at) for event in events])


async def carry(orders: Orders) -> None:
    """Work until ended; says when it has begun."""
    codec, clock = ProtoCodec(Envelope), SystemClock()
    settings = PostgresSettings(dsn=SecretStr(orders.dsn), schema_name="probe")
    async with Postgres.open(settings) as postgres, Line(orders.kind, orders.where).open(postgres, [TOPIC]) as bus:
        if orders.role == "relay":
            part: Relay | Consumer = Relay(postgres, bus, codec, clock)
        else:
            handlers: Handlers = {TYPE: _apply if orders.role == "singly" else Together(_apply_all)}
            undertaker = Undertaker(Outbox(), DeadLettered, DeadLetterResolved, ids=SystemIds(), clock=clock)
            part = Consumer(bus, postgres, codec, "bench", [TOPIC], handlers, undertaker=undertaker, clock=clock)
        async with part:
            print("begun", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(carry(Orders(**json.loads(sys.argv[1]))))
