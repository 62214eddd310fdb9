"""Invariant 8: poison never blocks its partition, all of it gets into dead letters, and the order of a key holds.

One message of twenty is poison of one of five kinds. A relay carries the dead letters to the topic where they are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.applying import Applier, Handler
from mesh.events.bus import PARTITIONS, Bus, Record, partition_of
from mesh.events.dead_letters import DeadLetter, DeadLetterPublisher
from mesh.events.event import Codec, Event
from mesh.events.inbox import Consumer
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.events.topics import DEAD_LETTERS
from mesh.ids import SystemIds
from mesh.ids import rng as seeded_rng
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from soma.events.v1.dead_letter_pb2 import DeadLetterCause, DeadLettered
from tests.chaos.mesh.events.buggy_consumers import EndlessRetryConsumer, SkippingConsumer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from soma_local.testing.engines import Databases
    from tests.chaos.mesh.events.buses import BusUnderTest
    from tests.conftest import Database

SEED = int(os.environ.get("SOMA_SEED", "20260102"))
TOPIC, GROUP, KEYS = "probe.events", "g", 64
SHARE = 0.05
TIMEOUT_S = 0.25
WHY = {
    "malformed": "MALFORMED",
    "unknown": "MALFORMED",
    "raises": "FAILED",
    "hangs": "TIMEOUT",
    "denied": "POLICY",
}
"""The kinds of poison, and the cause that each must be told with."""


@dataclass(frozen=True)
class Message:
    """One message: its number is its place in the order; `kind` is empty for a healthy one."""

    number: int
    key: str
    kind: str
    record: Record


@dataclass(frozen=True)
class Report:
    """What was sent, and what became of it."""

    seed: int
    messages: int
    poison: dict[str, int]
    missed: int
    twice: int
    out_of_order: int
    poison_applied: int
    dead_letters_missing: int
    dead_letters_twice: int
    causes_wrong: int
    partitions_held_up: int

    @property
    def flaws(self) -> dict[str, int]:
        """What must not be."""
        right = {"seed", "messages", "poison"}
        return {name: count for name, count in vars(self).items() if name not in right and count}


@dataclass
class EventRun:
    """A bus with poison in it, and what consumers make of it. `ended` tells the order in which messages were over."""

    postgres: Postgres
    codec: Codec
    messages: list[Message] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    dead_letters: list[DeadLettered] = field(default_factory=list)

    def make(self, count: int) -> None:
        """Messages of many keys, one in twenty of them poison."""
        random_source, ids = seeded_rng(SEED), SystemIds()
        kinds = [list(WHY)[number % len(WHY)] for number in range(round(count * SHARE))]
        kinds += [""] * (count - len(kinds))
        random_source.shuffle(kinds)
        for number, kind in enumerate(kinds):
            key, id_ = f"k{random_source.randrange(KEYS)}", ids.new()
            event = Event(
                id_, f"probe.{kind or 'noted'}", TOPIC, key, "a", datetime(2026, 1, 1, tzinfo=UTC),
                f"{key}/{number}".encode(),
            )  # fmt: skip
            value = random_source.randbytes(40) + b"\xff" if kind == "malformed" else self.codec.encode(event)
            self.messages.append(Message(number, key, kind, Record(TOPIC, key, id_, value)))

    def handlers(self) -> dict[str, Handler]:
        """A healthy handler, and one for each kind of poison."""

        async def hang(connection: asyncpg.Connection, event: Event) -> None:
            await self._note(connection, event)
            await asyncio.Event().wait()

        def raising(error: Callable[[], Exception]) -> Handler:
            async def fail(connection: asyncpg.Connection, event: Event) -> None:
                await self._note(connection, event)
                raise error()

            return fail

        async def parse(connection: asyncpg.Connection, event: Event) -> None:
            DeadLettered.FromString(event.payload + b"\xff")

        return {
            "probe.noted": self._note,
            "probe.unknown": parse,
            "probe.raises": raising(lambda: RuntimeError("bad")),
            "probe.hangs": hang,
            "probe.denied": raising(lambda: SomaError(Reason.POLICY_DENIED, "No")),
        }

    async def dead_letter(self, connection: asyncpg.Connection, dead_letter: DeadLetter) -> None:
        """As every context does, and note when."""
        await self._dead_letter_sink().dead_letter(connection, dead_letter)
        self.ended.append(dead_letter.event_id)

    async def resolve(self, connection: asyncpg.Connection, group: str, event: Event) -> None:
        """As every context does."""
        await self._dead_letter_sink().resolve(connection, group, event)

    async def run(self, bus: Bus, consuming: AbstractAsyncContextManager[object], *, within_s: float) -> Report:
        """Publish all messages, consume them for a bounded time, and look at the outcome."""
        relay = Relay(self.postgres, bus, self.codec, SystemClock())
        async with relay, self._reading(bus), consuming:
            for start in range(0, len(self.messages), 500):
                await bus.publish([each.record for each in self.messages[start : start + 500]])
            with contextlib.suppress(AssertionError):  # the report says what is missing
                await eventually(self._over, within_s=within_s)
        report = await self._report()
        print(report)  # noqa: T201 - to be repeated
        return report

    async def _note(self, connection: asyncpg.Connection, event: Event) -> None:
        await connection.execute("INSERT INTO applied (payload) VALUES ($1)", event.payload.decode())
        self.ended.append(event.event_id)

    def _dead_letter_sink(self) -> DeadLetterPublisher:
        return DeadLetterPublisher(Outbox(), ids=SystemIds(), clock=SystemClock())

    @asynccontextmanager
    async def _reading(self, bus: Bus) -> AsyncIterator[None]:
        """Read dead letters as whoever keeps them does."""

        async def note(connection: asyncpg.Connection, event: Event) -> None:
            self.dead_letters.append(DeadLettered.FromString(event.payload))

        handlers = {DeadLettered.DESCRIPTOR.full_name: note}
        async with Consumer(
            bus,
            self.postgres,
            self.codec,
            "record",
            [DEAD_LETTERS],
            handlers,
            dead_letter_sink=self,
            clock=SystemClock(),
        ):
            yield

    async def _over(self) -> bool:
        async with self.postgres.transaction(SYSTEM) as connection:
            settled = await connection.fetchval("SELECT count(*) FROM inbox WHERE consumer_group = $1", GROUP)
            dead_letters = await connection.fetchval("SELECT count(*) FROM outbox")
        return bool(settled == len(self.messages) and dead_letters == len(self.dead_letters))

    async def _report(self) -> Report:
        async with self.postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch("SELECT payload FROM applied ORDER BY number")
        applied = [tuple(row["payload"].split("/")) for row in rows]
        numbers = Counter(int(number) for _, number in applied)
        healthy = {each.number for each in self.messages if not each.kind}
        poison = {each.record.event_id: each for each in self.messages if each.kind}
        lines: defaultdict[str, list[int]] = defaultdict(list)
        for key, number in applied:
            lines[key].append(int(number))
        dead_letters = Counter(each.event_id for each in self.dead_letters)
        causes = {each.event_id: DeadLetterCause.Name(each.cause) for each in self.dead_letters}
        return Report(
            seed=SEED,
            messages=len(self.messages),
            poison=dict(Counter(each.kind for each in poison.values())),
            missed=len(healthy - numbers.keys()),
            twice=sum(count - 1 for count in numbers.values()),
            out_of_order=sum(line != sorted(line) for line in lines.values()),
            poison_applied=len(numbers.keys() - healthy),
            dead_letters_missing=len(poison.keys() - dead_letters.keys()),
            dead_letters_twice=sum(count - 1 for count in dead_letters.values()),
            causes_wrong=sum(
                causes[id_] != f"DEAD_LETTER_CAUSE_{WHY[each.kind]}" for id_, each in poison.items() if id_ in causes
            ),
            partitions_held_up=self._held_up(),
        )

    def _held_up(self) -> int:
        """Partitions whose poison, each time it was tried again, was dead-lettered before later events were applied."""
        ends = {id_: place for place, id_ in enumerate(self.ended)}
        partitions: defaultdict[int, list[Message]] = defaultdict(list)
        for each in self.messages:
            partitions[partition_of(each.key, PARTITIONS)].append(each)
        held: defaultdict[int, list[bool]] = defaultdict(list)
        for number, line in partitions.items():
            for place, each in enumerate(line):
                behind = [later for later in line[place + 1 : place + 20] if not later.kind and later.key != each.key]
                if each.kind in {"raises", "hangs"} and behind:
                    end = ends.get(each.record.event_id, len(ends))
                    held[number].append(all(ends.get(later.record.event_id, len(ends)) >= end for later in behind))
        return sum(map(all, held.values()))


@pytest.fixture
async def event_run(database: Database, databases: Databases, codec: Codec) -> AsyncIterator[EventRun]:
    settings = await database("probe", pool_max=12)
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    await owner.execute("""
        CREATE TABLE probe.applied (number bigserial, payload text);
        GRANT ALL ON ALL TABLES IN SCHEMA probe TO probe;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA probe TO probe;
    """)
    await owner.close()
    async with Postgres.open(settings) as postgres:
        yield EventRun(postgres, codec)


async def with_the_real_consumer(event_run: EventRun, line: BusUnderTest, count: int, within_s: float) -> Report:
    """Run messages through the consumer that every context has."""
    event_run.make(count)
    async with line.open(event_run.postgres, [TOPIC, DEAD_LETTERS]) as bus:
        consumer = Consumer(
            bus, event_run.postgres, event_run.codec, GROUP, [TOPIC], event_run.handlers(),
            dead_letter_sink=event_run, clock=SystemClock(), attempts=3, timeout_s=TIMEOUT_S,
        )  # fmt: skip
        return await event_run.run(bus, consumer, within_s=within_s)


async def test_poison_gets_into_dead_letters_and_the_rest_is_applied_in_order(
    event_run: EventRun, line: BusUnderTest
) -> None:
    report = await with_the_real_consumer(event_run, line, 1_000, within_s=60)
    assert report.poison == dict.fromkeys(WHY, 10)
    assert report.flaws == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_much_poison_gets_into_dead_letters(event_run: EventRun, line: BusUnderTest) -> None:
    report = await with_the_real_consumer(event_run, line, 5_000, within_s=600)
    assert report.poison == dict.fromkeys(WHY, 50)
    assert report.flaws == {}


@pytest.mark.parametrize("planted", [EndlessRetryConsumer, SkippingConsumer])
async def test_the_planted_bugs_are_caught(
    event_run: EventRun, valkey_line: BusUnderTest, planted: type[EndlessRetryConsumer | SkippingConsumer]
) -> None:
    event_run.make(200)
    handlers = event_run.handlers()
    applier = Applier(
        event_run.postgres, event_run.codec, GROUP, handlers, dead_letter_sink=event_run, timeout_s=TIMEOUT_S
    )
    async with valkey_line.open(event_run.postgres, [TOPIC, DEAD_LETTERS]) as bus:
        report = await event_run.run(bus, planted(bus, applier, GROUP, TOPIC), within_s=3)
    expected = (
        {"dead_letters_missing", "missed", "partitions_held_up"}
        if planted is EndlessRetryConsumer
        else {"dead_letters_missing"}
    )
    assert expected <= report.flaws.keys()
