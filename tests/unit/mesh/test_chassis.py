"""What the chassis gives a context before anything is opened."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from mesh.chassis import Chassis, ChassisSettings
from mesh.contexts import ContextDeclaration
from mesh.settings import PostgresSettings, SettingsError, TlsSettings, ValkeySettings, VaultSettings

AWAY = "127.0.0.1:1"
SETTINGS = ChassisSettings(
    tls=TlsSettings(profile="test"),
    postgres=PostgresSettings(dsn=SecretStr("postgresql://nobody@127.0.0.1:1/none")),
    valkey=ValkeySettings(url=SecretStr("redis://127.0.0.1:1")),
    vault=VaultSettings(address="http://127.0.0.1:1", token_file=Path("token")),
    peers={"gateway": AWAY, "assets": AWAY},
)
PROBE = ContextDeclaration(
    name="probe", version="1.0.0", package="svc_probe", protos=("soma.probe.v1",), peers=("assets", "critic")
)


async def test_a_peer_has_one_channel_however_often_it_is_asked_for() -> None:
    async with AsyncExitStack() as stack:
        mesh = Chassis(PROBE, SETTINGS, stack)
        gateway = await mesh.peer("gateway")
        assert await mesh.peer("gateway") is gateway
        assert await mesh.peer("assets") is not gateway


async def test_calls_have_the_deadlines_and_retries_of_the_contracts() -> None:
    async with AsyncExitStack() as stack:
        config = json.loads(Chassis(PROBE, SETTINGS, stack).service_config)
    services = {name["service"] for method in config["methodConfig"] for name in method["name"]}
    assert "soma.gateway.v1.ApiKeyService" in services


async def test_a_peer_whose_address_is_not_set_is_named_with_its_variable() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(SettingsError, match=r"probe calls critic, .* set SA01_PEERS_CRITIC=host:port"):
            await Chassis(PROBE, SETTINGS, stack).peer("critic")


async def test_a_context_calls_only_the_peers_that_it_declares() -> None:
    settings = SETTINGS.model_copy(update={"peers": {"selector": AWAY}})
    async with AsyncExitStack() as stack:
        with pytest.raises(LookupError, match="selector is none of the peers that the context probe declares"):
            await Chassis(PROBE, settings, stack).peer("selector")
