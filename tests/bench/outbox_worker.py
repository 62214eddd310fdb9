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
from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec
from mesh.events.inbox import BatchHandler, Consumer
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.ids import SystemIds
from mesh.settings import PostgresSettings
from mesh.stores.postgres import Postgres
from tests.chaos.mesh.events.buses import BusUnderTest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from mesh.events.event import Event
    from mesh.events.inbox import Handlers

TOPIC, TYPE = "probe.events", "bench.noted"
_EFFECT = "INSERT INTO applied (event_id, occurred_at) VALUES ($1, $2)"


@dataclass(frozen=True)
class WorkerOptions:
    """What a process is to do: `role` is relay, singly or together; the latter two are consumers."""

    role: str
    dsn: str
    kind: str
    where: str


async def _apply(connection: asyncpg.Connection, event: Event) -> None:
    await connection.execute(_EFFECT, event.event_id, event.occurred_at)


async def _apply_all(connection: asyncpg.Connection, events: Sequence[Event]) -> None:
    await connection.executemany(_EFFECT, [(event.event_id, event.occurred_at) for event in events])


async def run_worker(options: WorkerOptions) -> None:
    """Work until ended; says when it has begun."""
    codec, clock = Codec(), SystemClock()
    settings = PostgresSettings(dsn=SecretStr(options.dsn), schema_name="probe")
    async with (
        Postgres.open(settings) as postgres,
        BusUnderTest(options.kind, options.where).open(postgres, [TOPIC]) as bus,
    ):
        if options.role == "relay":
            part: Relay | Consumer = Relay(postgres, bus, codec, clock)
        else:
            handlers: Handlers = {TYPE: _apply if options.role == "singly" else BatchHandler(_apply_all)}
            dead_letter_sink = DeadLetterPublisher(Outbox(), ids=SystemIds(), clock=clock)
            part = Consumer(
                bus, postgres, codec, "bench", [TOPIC], handlers, dead_letter_sink=dead_letter_sink, clock=clock
            )
        async with part:
            print("begun", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run_worker(WorkerOptions(**json.loads(sys.argv[1]))))
