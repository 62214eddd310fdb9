"""Lists the assets that were erased since a moment, as the event bus tells: `python examples/list_erasures.py MOMENT`.

For a restore of Postgres, see docs/operations/restore.md. MOMENT has a zone: 2026-11-30T08:00:00Z. Reads all of the
topic assets.events as a consumer group of its own, with the settings of the mesh (`SA01_BUS_*`, `SA01_VALKEY_URL`).
Writes one JSON object a line: tenant_id, asset_id, erase_time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from mesh.errors import SomaError
from mesh.events.event import Codec
from mesh.events.kafka import KafkaBus
from mesh.events.streams import MemoryCursors, ValkeyStreams
from mesh.events.topics import facts_of
from mesh.ids import SystemIds
from mesh.settings import Block, BusSettings, SettingsError, ValkeySettings, load
from mesh.stores import valkey
from soma.events.v1.facts_pb2 import AssetTombstoned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.events.bus import Bus, Delivery


class Settings(Block):
    """The bus of the mesh."""

    valkey: ValkeySettings
    bus: BusSettings = BusSettings()


@dataclass(frozen=True)
class Erasure:
    """An asset that was erased."""

    tenant_id: str
    asset_id: str
    erase_time: str


def main(argv: Sequence[str]) -> int:
    """Write what was found; 2 when it could not be looked for."""
    since = _moment(argv[1]) if len(argv) == 2 else None  # noqa: PLR2004 - the only argument
    if since is None:
        print(__doc__)
        return 2
    try:
        found = asyncio.run(listed(load(Settings, "assets"), since))
    except (SettingsError, SomaError) as error:
        print(error, file=sys.stderr)
        return 2
    for erasure in found:
        print(json.dumps(asdict(erasure)))
    return 0


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


async def listed(settings: Settings, since: datetime) -> Sequence[Erasure]:
    """The erasures that the mesh's bus has."""
    async with AsyncExitStack() as stack:
        bus: Bus
        if settings.bus.kind == "kafka":
            bus = await stack.enter_async_context(KafkaBus(settings.bus))
        else:
            client = await stack.enter_async_context(valkey.open(settings.valkey))
            bus = ValkeyStreams(client, MemoryCursors())
        return await erasures(bus, since)


async def erasures(bus: Bus, since: datetime) -> Sequence[Erasure]:
    """Each asset once, in the order in which its erasure is read; ends where the topic ends."""
    found: dict[str, Erasure] = {}
    async with bus.subscribe(f"list-erasures-{SystemIds().new()}", [facts_of("assets")]) as subscription:
        if not await subscription.lag():
            return []
        async for batch in subscription:
            for erasure in map(_erasure, batch):
                if erasure is not None and datetime.fromisoformat(erasure.erase_time) >= since:
                    found.setdefault(erasure.asset_id, erasure)
            await subscription.ack(*batch)
            if not await subscription.lag():
                break
    return list(found.values())


def _erasure(delivery: Delivery) -> Erasure | None:
    """The erasure that a record tells of; None for one of something else."""
    try:
        event = Codec().decode(delivery.value)
        if event.type != AssetTombstoned.DESCRIPTOR.full_name:
            return None
        asset = AssetTombstoned.FromString(event.payload).asset
    except (ValueError, DecodeError):
        print(f"event {delivery.event_id} cannot be read", file=sys.stderr)
        return None
    return Erasure(event.tenant_id, asset.asset_id, event.occurred_at.isoformat())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
