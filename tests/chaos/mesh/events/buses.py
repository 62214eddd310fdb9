"""How a process gets at a bus."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mesh.events.kafka import KafkaBus
from mesh.events.streams import PostgresCursors, ValkeyStreams
from mesh.settings import BusSettings, ValkeySettings
from mesh.stores import valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.events.bus import Bus
    from mesh.stores.postgres import Postgres

LEASE_S = 1.0


@dataclass(frozen=True)
class BusUnderTest:
    """A bus by its kind; `where` is the URL of a Valkey or the settings of a Kafka, as JSON."""

    kind: str
    where: str

    @classmethod
    def kafka(cls, settings: BusSettings) -> BusUnderTest:
        """The way to a Kafka, with the password."""
        password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
        return cls("kafka", json.dumps({**settings.model_dump(mode="json"), "sasl_password": password}))

    def apart(self, number: int) -> BusUnderTest:
        """A part of the bus that others do not use: a database of the Valkey, names of its own in the Kafka."""
        if self.kind == "kafka":
            return BusUnderTest(self.kind, json.dumps({**json.loads(self.where), "prefix": f"part-{number}."}))
        return BusUnderTest(self.kind, f"{self.where.rpartition('/')[0]}/{number}")

    @asynccontextmanager
    async def open(self, postgres: Postgres, topics: Sequence[str]) -> AsyncIterator[Bus]:
        """The bus, with cursors in the schema where it needs some."""
        if self.kind == "kafka":
            async with KafkaBus(BusSettings.model_validate_json(self.where), topics=topics) as kafka:
                yield kafka
            return
        async with valkey.open(ValkeySettings(url=SecretStr(self.where))) as client:
            yield ValkeyStreams(client, PostgresCursors(postgres), lease_s=LEASE_S)
