"""A consumer between a bus and a database, with what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.events.bus import Record
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer, DeadLetter, Handlers
from mesh.events.memory import MemoryBus
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    import asyncpg


MakeEvent = Callable[..., Event]
TOPIC = "probe.events"


class Instant(SystemClock):
    """Every pause ends at once."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(0.005)


class Scene:
    """A consumer with what it applied, what it gave up and how often it tried."""

    def __init__(self, postgres: Postgres, codec: Codec) -> None:
        self.postgres = postgres
        self.codec = codec
        self.bus = MemoryBus()
        self.applied: list[bytes] = []
        self.tries: Counter[bytes] = Counter()
        self.dead_letters: list[DeadLetter] = []
        self.lags: list[int] = []
        self.fault: Callable[[Event], None] = lambda _: None

    async def handle(self, connection: asyncpg.Connection, event: Event) -> None:
        self.tries[event.payload] += 1
        await connection.execute("INSERT INTO applied VALUES ($1, $2)", event.tenant_id, event.payload)
        self.fault(event)

    async def dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        await connection.execute("INSERT INTO given_up VALUES ($1)", dead_letter.event_id)
        self.dead_letters.append(dead_letter)

    async def resolve(self, connection: asyncpg.Connection, group: str, event: Event) -> None:
        await connection.execute("INSERT INTO given_up VALUES ($1)", f"{group} resolved {event.dlq_id}")

    @asynccontextmanager
    async def consuming(self, handlers: Handlers | None = None, *, timeout_s: float = 10.0) -> AsyncIterator[Consumer]:
        async with Consumer(
            self.bus, self.postgres, self.codec, "g", [TOPIC],
            {"noted": self.handle} if handlers is None else handlers,
            dead_letter_sink=self, clock=Instant(), attempts=3, timeout_s=timeout_s, on_lag=self.lags.append,
        ) as consumer:  # fmt: skip
            yield consumer

    async def publish(self, *events: Event) -> None:
        await self.bus.publish(
            [Record(event.topic, event.key, event.event_id, self.codec.encode(event)) for event in events]
        )

    async def rows(self) -> list[bytes]:
        async with self.postgres.transaction(SYSTEM) as connection:
            return [row["payload"] for row in await connection.fetch("SELECT payload FROM applied ORDER BY number")]

    async def done(self, count: int) -> None:
        async def reached() -> bool:
            async with self.postgres.transaction(SYSTEM) as connection:
                return int(await connection.fetchval("SELECT count(*) FROM inbox")) >= count

        await eventually(reached)
