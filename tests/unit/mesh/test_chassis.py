"""What the chassis gives a context before anything is opened."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from mesh.chassis import Chassis, ChassisSettings
from mesh.settings import PeerSettings, PostgresSettings, TlsSettings, ValkeySettings, VaultSettings

AWAY = "127.0.0.1:1"
SETTINGS = ChassisSettings(
    tls=TlsSettings(profile="test"),
    postgres=PostgresSettings(dsn=SecretStr("postgresql://nobody@127.0.0.1:1/none")),
    valkey=ValkeySettings(url=SecretStr("redis://127.0.0.1:1")),
    vault=VaultSettings(address="http://127.0.0.1:1", token_file=Path("token")),
    peers=PeerSettings(gateway=AWAY, assets=AWAY),
)


async def test_a_peer_has_one_channel_however_often_it_is_asked_for() -> None:
    async with AsyncExitStack() as stack:
        mesh = Chassis("probe", SETTINGS, stack)
        gateway = await mesh.peer("gateway")
        assert await mesh.peer("gateway") is gateway
        assert await mesh.peer("assets") is not gateway


async def test_calls_have_the_deadlines_and_retries_of_the_contracts() -> None:
    async with AsyncExitStack() as stack:
        config = json.loads(Chassis("probe", SETTINGS, stack).service_config)
    services = {name["service"] for method in config["methodConfig"] for name in method["name"]}
    assert "soma.gateway.v1.ApiKeyService" in services
