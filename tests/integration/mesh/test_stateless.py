"""A context that keeps nothing opens no database and no bus, and is served like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.chassis import SIGNING_KEY, ChassisSettings, StatelessSettings, chassis
from mesh.contexts import ContextDeclaration, InvalidContextError
from mesh.rpc.client import connect
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.settings import TlsSettings

if TYPE_CHECKING:
    from mesh.settings import ValkeySettings, VaultSettings
    from tests.conftest import Database

CONTEXT = ContextDeclaration(
    name="probe", version="1.2.3", package="svc_probe", protos=("soma.probe.v1",), stateless=True
)
PLAINTEXT = TlsSettings(profile="test")
AWAY = {"gateway": "127.0.0.1:1"}


@pytest.fixture
async def settings(vault_settings: VaultSettings) -> StatelessSettings:
    async with Vault.open(vault_settings) as vault:
        await VaultTransit(vault, vault_settings.transit_mount).create_key(SIGNING_KEY, KeyKind.SIGNING)
    return StatelessSettings(tls=PLAINTEXT, vault=vault_settings, peers=AWAY)


async def test_it_serves_without_any_store(settings: StatelessSettings) -> None:
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        service = await mesh.serve([])
        async with connect(service.address, PLAINTEXT, service_config="{}") as channel:
            call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            answer = await call
            assert dict(await call.initial_metadata())["soma-version"] == "1.2.3"
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_what_it_has_not_is_refused_by_name(settings: StatelessSettings) -> None:
    async with chassis(CONTEXT, settings) as mesh:
        with pytest.raises(LookupError, match="the context probe has no database"):
            _ = mesh.postgres
        with pytest.raises(LookupError, match="the context probe has no event bus"):
            _ = mesh.bus


async def test_declaration_and_settings_must_agree(
    settings: StatelessSettings, database: Database, valkey_settings: ValkeySettings
) -> None:
    keeping = ChassisSettings(
        tls=PLAINTEXT, vault=settings.vault, peers=AWAY, postgres=await database("critic"), valkey=valkey_settings
    )
    for declared, given in ((CONTEXT, keeping), (replace(CONTEXT, stateless=False), settings)):
        with pytest.raises(TypeError, match=f"declares stateless={declared.stateless}, unlike its settings"):
            async with chassis(declared, given):
                pass


def test_events_need_a_database() -> None:
    with pytest.raises(InvalidContextError, match="events need a database"):
        replace(CONTEXT, publishes=("probe.events",))
