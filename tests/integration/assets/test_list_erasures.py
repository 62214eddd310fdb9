"""After a restore of Postgres, the bus still tells which assets were erased since the backup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.list_erasures import Settings, listed
from mesh.events.bus import Record
from mesh.events.event import Codec, Event
from mesh.events.kafka import KafkaBus
from mesh.events.streams import MemoryCursors, ValkeyStreams
from mesh.events.topics import facts_of
from mesh.ids import SystemIds
from mesh.settings import BusSettings
from soma.assets.v1 import asset_pb2
from soma.events.v1 import facts_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from redis.asyncio import Redis

    from mesh.settings import ValkeySettings

SCRIPT = Path(__file__).parents[3] / "examples" / "list_erasures.py"
BACKUP = datetime(2026, 7, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
IDS = SystemIds()


def told(payload: Message, at: datetime, tenant: str = "acme") -> Record:
    """A record of the topic of assets."""
    kind, content = payload.DESCRIPTOR.full_name, payload.SerializeToString()
    event = Event(IDS.new(), kind, facts_of("assets"), IDS.new(), tenant, at, content)
    return Record(event.topic, event.key, event.event_id, Codec().encode(event))


def erased(asset_id: str, at: datetime, tenant: str = "acme") -> Record:
    return told(facts_pb2.AssetTombstoned(asset=asset_pb2.Asset(asset_id=asset_id)), at, tenant)


def stored(asset_id: str) -> Record:
    return told(facts_pb2.AssetStored(asset=asset_pb2.Asset(asset_id=asset_id)), BACKUP + HOUR)


async def publish(settings: Settings, valkey: Redis, *records: Record) -> None:
    if settings.bus.kind == "valkey":
        await ValkeyStreams(valkey, MemoryCursors()).publish(records)
        return
    async with KafkaBus(settings.bus) as bus:
        await bus.publish(records)


@pytest.fixture(params=["valkey", "kafka"])
def settings(request: pytest.FixtureRequest, valkey_settings: ValkeySettings) -> Settings:
    bus: BusSettings = BusSettings() if request.param == "valkey" else request.getfixturevalue("kafka")
    return Settings(valkey=valkey_settings, bus=bus)


async def test_what_was_erased_since_the_backup_is_listed_once(settings: Settings, valkey: Redis) -> None:
    after = BACKUP + HOUR
    records = [erased("old", BACKUP - HOUR), stored("kept"), *(erased("one", after) for _ in range(2))]
    await publish(settings, valkey, *records, erased("two", after, "umbrella"))
    found = await listed(settings, BACKUP)
    assert {(one.tenant_id, one.asset_id) for one in found} == {("acme", "one"), ("umbrella", "two")}
    assert len(found) == 2
    assert await listed(settings, after + HOUR) == []


async def test_all_of_a_long_topic_is_read(settings: Settings, valkey: Redis) -> None:
    await publish(settings, valkey, *(erased(f"asset-{number}", BACKUP) for number in range(1_500)))
    assert len(await listed(settings, BACKUP)) == 1_500


async def test_an_empty_bus_tells_of_none(settings: Settings, valkey: Redis) -> None:
    assert await listed(settings, BACKUP) == []


async def test_the_command_writes_json_lines_and_passes_over_what_it_cannot_read(
    valkey: Redis, valkey_settings: ValkeySettings
) -> None:
    broken = Record(facts_of("assets"), "k", "broken", b"\xff")
    await publish(Settings(valkey=valkey_settings), valkey, broken, erased("one", BACKUP))
    ran = run("2026-07-10T00:00:00Z", SA01_VALKEY_URL=valkey_settings.url.get_secret_value())
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"tenant_id": "acme", "asset_id": "one", "erase_time": "2026-07-10T00:00:00+00:00"}
    ]
    assert (ran.returncode, "event broken cannot be read" in ran.stderr) == (0, True)


@pytest.mark.parametrize("arguments", [(), ("yesterday",), ("2026-07-10T00:00:00",)], ids=["none", "word", "no zone"])
def test_the_command_wants_a_moment_with_a_zone(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert (ran.returncode, "MOMENT" in ran.stdout) == (2, True)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
