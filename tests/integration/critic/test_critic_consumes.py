"""The service itself hears of erased assets, and erases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.chassis import SIGNING_KEY
from mesh.events.outbox import Outbox
from mesh.events.topics import DEAD_LETTERS
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.settings import IdentitySettings, TlsSettings
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually
from soma.events.v1.dead_letter_pb2 import DeadLettered
from svc_critic.bootstrap import build
from svc_critic.settings import Settings
from tests.integration.critic.quoting import IDS, SECRET, TENANT, QuotingCritic, tombstone

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.event import Event
    from mesh.settings import ValkeySettings, VaultSettings
    from tests.conftest import Database

AWAY = "127.0.0.1:1"


@pytest.fixture
async def settings(
    database: Database, valkey_settings: ValkeySettings, vault_settings: VaultSettings, tmp_path: Path
) -> Settings:
    async with Vault.open(vault_settings) as vault:
        await VaultTransit(vault, vault_settings.transit_mount).create_key(SIGNING_KEY, KeyKind.SIGNING)
    return Settings(
        tls=TlsSettings(profile="test"),
        postgres=await database("critic"),
        valkey=valkey_settings,
        vault=vault_settings,
        identity=IdentitySettings(revocations_dir=tmp_path / "revocations"),
        peers={"gateway": AWAY, "assets": AWAY},
    )


async def send(postgres: Postgres, event: Event) -> None:
    """Put an event on the bus as if the asset store had sent it: through the outbox of the critic."""
    async with postgres.transaction(TENANT) as connection:
        await Outbox().add(connection, event)


async def test_the_critic_erases_what_it_hears_of(settings: Settings) -> None:
    async with Postgres.open(settings.postgres) as postgres, build(settings):
        critic, asset_id = QuotingCritic(postgres), IDS.new()
        await critic.evaluate_asset(asset_id)
        await send(postgres, tombstone(asset_id))

        async def is_gone() -> bool:
            return SECRET not in await critic.stored("outbox")

        await eventually(is_gone, within_s=30.0)


async def test_the_group_of_the_critic_dead_letters_what_it_cannot_apply(settings: Settings) -> None:
    async with Postgres.open(settings.postgres) as postgres, build(settings):
        broken = replace(tombstone(IDS.new()), payload=b"\xff")
        await send(postgres, broken)

        async def dead_letters() -> list[tuple[str, str]]:
            async with postgres.transaction(SYSTEM) as connection:
                rows = await connection.fetch("SELECT payload FROM outbox WHERE topic = $1", DEAD_LETTERS)
            found = [DeadLettered.FromString(row["payload"]) for row in rows]
            return [(letter.group, letter.event_id) for letter in found]

        async def is_told() -> bool:
            return await dead_letters() == [("critic", broken.event_id)]

        await eventually(is_told, within_s=30.0)
