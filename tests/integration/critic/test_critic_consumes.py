"""The service itself hears of erased assets, and erases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.chassis import SIGNING_KEY
from mesh.events.outbox import Outbox
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.settings import IdentitySettings, PeerSettings, TlsSettings
from mesh.stores.postgres import Postgres
from mesh.testing.contract import eventually
from svc_critic.bootstrap import build
from svc_critic.settings import Settings
from tests.integration.critic.quoting import IDS, SECRET, TENANT, QuotingCritic, tombstone

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.settings import ValkeySettings, VaultSettings
    from tests.conftest import Database

AWAY = "127.0.0.1:1"


async def test_the_critic_erases_what_it_hears_of(
    database: Database, valkey_settings: ValkeySettings, vault_settings: VaultSettings, tmp_path: Path
) -> None:
    async with Vault.open(vault_settings) as vault:
        await VaultTransit(vault, vault_settings.transit_mount).create_key(SIGNING_KEY, KeyKind.SIGNING)
    settings = Settings(
        tls=TlsSettings(profile="test"),
        postgres=await database("critic"),
        valkey=valkey_settings,
        vault=vault_settings,
        identity=IdentitySettings(revocations_dir=tmp_path / "revocations"),
        peers=PeerSettings(gateway=AWAY, assets=AWAY),
    )
    async with Postgres.open(settings.postgres) as postgres, build(settings):
        critic, asset_id = QuotingCritic(postgres), IDS.new()
        await critic.judge(asset_id)
        async with postgres.transaction(TENANT) as connection:
            await Outbox().add(connection, tombstone(asset_id))  # on the bus it is as if the asset store had sent it

        async def is_gone() -> bool:
            return SECRET not in await critic.stored("outbox")

        await eventually(is_gone, within_s=30.0)
