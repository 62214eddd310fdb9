"""Facts under ids that their clients made, left in the outboxes of the contexts; one of twenty is poison.

A healthy fact is an entry for the audit chain of its tenant: applied twice it would be there twice.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
from pydantic import SecretStr
from redis.exceptions import RedisError

from mesh.contexts import installed
from mesh.errors import SomaError
from mesh.events.bus import Record
from mesh.events.event import Event
from mesh.events.outbox import Outbox
from mesh.events.streams import MemoryCursors, ValkeyStreams
from mesh.events.topics import AUDIT, facts_of
from mesh.settings import PostgresSettings, ValkeySettings
from mesh.stores import valkey
from mesh.stores.postgres import Postgres
from soma.assets.v1.asset_pb2 import Asset
from soma.events.v1.audit_pb2 import AUDIT_DECISION_ALLOWED, AuditRecorded
from soma.events.v1.facts_pb2 import AssetStored
from tests.chaos.contexts.messages.clients import Backoff
from tests.chaos.contexts.messages.ledger import Kind, Sent

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio import Redis

    from mesh.clock import Clock
    from tests.chaos.contexts.messages.clients import ResponseLoss, Tally
    from tests.e2e.conftest import RunningMesh

ACTION = "message.note"
HANGS = "hangs"
"""Type of an asset that the planted trigger never lets into the record."""
WHY = {"malformed": "MALFORMED", "unreadable": "MALFORMED", "raises": "FAILED", HANGS: "TIMEOUT"}
"""Kinds of poison that handlers of today can meet, and the cause that each must be told with."""
SOURCE_CONTEXTS = tuple(context.name for context in installed())
_KEYS = 16
_TIMEOUT_S = 6.0
_SYNCED_WITHIN_MS = 3_000
_MARK = "soma:messages:synced"


@dataclass(frozen=True)
class Fact:
    """One fact; `poison` is empty for a healthy one, `source_context` the context that publishes it."""

    message_id: str
    source_context: str
    key: str
    poison: str = ""

    @property
    def sent(self) -> Sent:
        """What its client knows once it was accepted."""
        kind = Kind.POISON if self.poison else Kind.FACT
        return Sent(self.message_id, kind, (self.message_id,), cause=WHY.get(self.poison, ""))


def fact(message_id: str, poison: str, random_source: random.Random) -> Fact:
    """A fact of some context under some key."""
    return Fact(message_id, random_source.choice(SOURCE_CONTEXTS), f"messages-{random_source.randrange(_KEYS)}", poison)


class FactPublisher:
    """Takes facts in for the mesh: into the outbox of a context, or onto the bus what is no event at all."""

    def __init__(  # noqa: PLR0917 - what it stands on
        self,
        outboxes: Mapping[str, Postgres],
        bus: Redis,
        tenant_id: str,
        tally: Tally,
        response_loss: ResponseLoss,
        clock: Clock,
    ) -> None:
        self._outboxes = outboxes
        self._bus = bus
        self._streams = ValkeyStreams(bus, MemoryCursors())
        self._tenant_id = tenant_id
        self._tally = tally
        self._response_loss = response_loss
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, mesh: RunningMesh, tenant_id: str, tally: Tally, response_loss: ResponseLoss, clock: Clock
    ) -> AsyncIterator[FactPublisher]:
        """A publisher for a mesh, as its contexts reach their own outboxes."""
        async with AsyncExitStack() as stack:
            outboxes = {}
            for context in SOURCE_CONTEXTS:
                dsn = SecretStr(mesh.variable(f"SA01_{context.upper()}_POSTGRES_DSN"))
                settings = PostgresSettings(dsn=dsn, pool_min=0, pool_max=4, schema_name=context)
                outboxes[context] = await stack.enter_async_context(Postgres.open(settings))
            where = ValkeySettings(url=SecretStr(mesh.variable("SA01_VALKEY_URL")))
            bus = await stack.enter_async_context(valkey.open(where))
            yield cls(outboxes, bus, tenant_id, tally, response_loss, clock)

    async def place(self, fact: Fact, event_id: str = "") -> Sent:
        """Place a fact until it is accepted, under its own id unless another is given."""
        backoff = Backoff(self._tally, self._clock)
        while True:
            await backoff.next()
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._place(fact, event_id or fact.message_id)
            except (SomaError, RedisError, OSError) as failure:  # a TimeoutError is an OSError
                self._tally.lost[f"fact: {type(failure).__name__}"] += 1
                continue
            if not self._response_loss.loses("fact"):
                return fact.sent

    async def _place(self, fact: Fact, event_id: str) -> None:
        if fact.poison == "malformed":
            await self._publish(Record(AUDIT, fact.key, event_id, b"\xff" + event_id.encode()))
            return
        try:
            async with self._outboxes[fact.source_context].transaction(self._tenant_id) as connection:
                await Outbox().add(connection, self._event(fact, event_id))
        except asyncpg.UniqueViolationError:  # it was accepted before, and the answer got lost
            return

    async def _publish(self, record: Record) -> None:
        """Put bytes onto the bus, and wait until they are on disk: before that nothing was accepted."""
        await self._streams.publish([record])
        async with self._bus.pipeline(transaction=False) as pipeline:
            pipeline.set(_MARK, record.event_id)
            pipeline.execute_command("WAITAOF", 1, 0, _SYNCED_WITHIN_MS)
            *_, (synced, _) = await pipeline.execute()
        if not synced:
            raise TimeoutError("not on disk in time")

    def _event(self, fact: Fact, event_id: str) -> Event:
        """An audit entry; poison is one that cannot be read, an asset whose id is none, or an asset that hangs."""
        if fact.poison in {"raises", HANGS}:
            asset_id = f"no-id-{fact.message_id}" if fact.poison == "raises" else fact.message_id
            message = AssetStored(asset=Asset(asset_id=asset_id, asset_type=fact.poison))
            type_, topic, payload = message.DESCRIPTOR.full_name, facts_of("assets"), message.SerializeToString()
        else:
            entry = AuditRecorded(
                action=ACTION, context=fact.source_context, subject="client", resource_type="message",
                resource_id=fact.message_id, decision=AUDIT_DECISION_ALLOWED,
            )  # fmt: skip
            type_, topic = entry.DESCRIPTOR.full_name, AUDIT
            payload = b"\xff\xff" if fact.poison else entry.SerializeToString()
        return Event(
            event_id, type_, topic, fact.key, self._tenant_id, self._clock.now(), payload,
            correlation_id=fact.message_id,
        )  # fmt: skip
