"""A bus that is away degrades the mesh and is named; requests go on, their events wait in the outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from mesh.clock import SystemClock
from mesh.settings import load
from soma.gateway.v1 import health_service_pb2 as health
from soma.gateway.v1 import health_service_pb2_grpc, identity_service_pb2, identity_service_pb2_grpc
from soma_local.pki import EDGE, Pki
from soma_local.ports import free_port
from soma_local.vault import IDENTITY_KEY, Vault
from svc_gateway.bootstrap import build
from svc_gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.settings import ValkeySettings, VaultSettings
    from soma_local.engines import OpenBaoEngine
    from tests.conftest import Database

    Parts = dict[str, health.Component]


class Gateway:
    """A gateway whose Kafka is away, called as its first key."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self._channel = channel
        self._identity = (("authorization", f"Bearer {key}"),)

    async def parts(self) -> Parts:
        """The parts of the mesh by name."""
        stub = health_service_pb2_grpc.DegradationServiceStub(self._channel)
        answer = await stub.ListComponents(health.ListComponentsRequest(), metadata=self._identity)
        return {part.name: part for part in answer.components}

    async def status(self) -> health.Status:
        """What everybody may know."""
        stub = health_service_pb2_grpc.DegradationServiceStub(self._channel)
        return await stub.GetStatus(health.GetStatusRequest())

    async def until_lost(self, *names: str) -> Parts:
        """Wait until parts are told as lost."""
        async with asyncio.timeout(30):
            while True:
                parts = await self.parts()
                if all(parts[name].state == health.COMPONENT_STATE_UNHEALTHY for name in names):
                    return parts
                await asyncio.sleep(0.05)

    async def new_key(self) -> str:
        """Make an API key, which tells the record of it."""
        stub = identity_service_pb2_grpc.ApiKeyServiceStub(self._channel)
        wanted = identity_service_pb2.ApiKey(display_name="made while Kafka is away")
        request = identity_service_pb2.CreateApiKeyRequest(api_key=wanted)
        made = await stub.CreateApiKey(request, metadata=self._identity)
        return str(made.key_id)

    async def serves(self) -> bool:
        """Whether the process says that it serves."""
        check = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = await check(health_pb2.HealthCheckRequest())
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
async def gateway(
    database: Database,
    valkey_settings: ValkeySettings,
    vault_settings: VaultSettings,
    openbao_engine: OpenBaoEngine,
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    pki = Pki(tmp_path, SystemClock())
    pki.ensure(["gateway"])
    async with Vault.open(openbao_engine.url, openbao_engine.root_token) as vault:
        await vault.ensure_transit_key(IDENTITY_KEY, "ed25519")
    address = f"127.0.0.1:{free_port()}"
    key = tmp_path / "first-key"
    environ = {
        "SA01_PROFILE": "test",
        "SA01_POSTGRES_DSN": (await database("gateway")).dsn.get_secret_value(),
        "SA01_POSTGRES_SCHEMA_NAME": "gateway",
        "SA01_VALKEY_URL": valkey_settings.url.get_secret_value(),
        "SA01_VAULT_ADDRESS": vault_settings.address,
        "SA01_VAULT_TOKEN_FILE": str(vault_settings.token_file),
        "SA01_BUS_KIND": "kafka",
        "SA01_BUS_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "SA01_BUS_SECURITY_PROTOCOL": "PLAINTEXT",
        "SA01_BUS_MAX_LAG_S": "0.2",
        "SA01_SERVER_BIND": address,
        "SA01_PEERS_GATEWAY": address,
        "SA01_GATEWAY_EDGE_CERT_FILE": str(pki.pair(EDGE).certificate),
        "SA01_GATEWAY_EDGE_KEY_FILE": str(pki.pair(EDGE).key),
        "SA01_GATEWAY_BOOTSTRAP_KEY_FILE": str(key),
        "SA01_GATEWAY_CHECK_EVERY_S": "0.2",
        "SA01_GATEWAY_CHECK_START_S": "0",
        "SA01_GATEWAY_LEVEL_HOLD_S": "0",
    }
    async with (
        build(load(Settings, "gateway", environ)) as service,
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        yield Gateway(channel, await asyncio.to_thread(lambda: key.read_text().strip()))


@pytest.mark.timeout(120)
async def test_kafka_that_is_away_is_named_and_requests_go_on(gateway: Gateway) -> None:
    parts = await gateway.until_lost("bus")
    assert parts["valkey"].state == health.COMPONENT_STATE_HEALTHY
    assert parts["bus"].reason
    assert await gateway.new_key()
    waiting = await gateway.until_lost("outbox")
    assert "gateway: the oldest event waits for" in waiting["outbox"].reason
    status = await gateway.status()
    assert status.level == health.DEGRADATION_LEVEL_CRITICAL
    assert {"bus", "outbox"} <= set(status.unhealthy_components)
    assert "bus: " in status.reason
    assert await gateway.serves()
