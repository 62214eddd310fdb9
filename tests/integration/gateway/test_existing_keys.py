"""Keys that exist, that do not and that are revoked, at the gateway and at a service that follows it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenMinter, api_key
from mesh.ids import SystemIds
from mesh.rpc.client import connect
from mesh.secrets import Vault, VaultTransit
from mesh.settings import IdentitySettings, TlsSettings, load
from mesh.stores.postgres import Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import entries
from mesh.testing.contract import eventually
from soma.critic.v1.rubric_pb2 import ListRubricsRequest
from soma.critic.v1.rubric_pb2_grpc import RubricServiceStub
from soma.events.v1.audit_pb2 import AUDIT_DECISION_DENIED
from soma.gateway.v1 import identity_service_pb2 as identity
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub
from soma_local.pki import EDGE, Pki
from soma_local.ports import free_port
from soma_local.vault import IDENTITY_KEY
from soma_local.vault import Vault as LocalVault
from svc_critic.bootstrap import build as build_critic
from svc_critic.settings import Settings as CriticSettings
from svc_gateway.bootstrap import build as build_gateway
from svc_gateway.settings import Settings as GatewaySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import grpc.aio

    from mesh.lifecycle import Service
    from mesh.settings import ValkeySettings, VaultSettings
    from soma_local.engines import OpenBaoEngine
    from tests.conftest import Database

PLAINTEXT = TlsSettings(profile="test")
CLOCK = SystemClock()
DAY_S = 86_400.0
pytestmark = pytest.mark.timeout(120)


@dataclass
class Mesh:
    """A gateway and a critic, each of which can be started again."""

    gateway_settings: GatewaySettings
    critic_settings: CriticSettings
    key_file: Path

    @property
    def first_key(self) -> str:
        return self.key_file.read_text().strip()

    @property
    def keys_on_disk(self) -> Path:
        assert self.critic_settings.identity.revocations_dir is not None
        return self.critic_settings.identity.revocations_dir / "critic.keys"

    def gateway(self) -> AbstractAsyncContextManager[Service]:
        return build_gateway(self.gateway_settings)

    def critic(self, **identity: object) -> AbstractAsyncContextManager[Service]:
        changed = self.critic_settings.identity.model_copy(update=identity)
        return build_critic(self.critic_settings.model_copy(update={"identity": changed}))

    async def key_is_on_disk(self) -> None:
        """Wait until the critic has kept the keys that exist."""

        async def kept() -> bool:
            return self.keys_on_disk.exists()

        await eventually(kept)

    async def forged(self, kind: str, *, tenant: str = "dev", ago: timedelta = timedelta(0)) -> str:
        """A credential with a true signature over a key id that nobody made, issued some time ago."""
        claims = Claims(
            tenant, "mallory", ("admin",), key_id=SystemIds().new(), kind="key" if kind == "key" else "token"
        )
        return await self.signed(claims, DAY_S if kind == "key" else 900, ago)

    async def signed(self, claims: Claims, ttl_s: float, ago: timedelta = timedelta(0)) -> str:
        clock = FakeClock(CLOCK.now() - ago)
        async with Vault.open(self.critic_settings.vault) as vault:
            transit = VaultTransit(vault, self.critic_settings.vault.transit_mount)
            minter = TokenMinter(transit, IDENTITY_KEY, issuer="soma", audience="soma", clock=clock, ids=SystemIds())
            token = await minter.mint(claims, ttl_s)
        return api_key("test", token) if claims.kind == "key" else token


@pytest.fixture
async def mesh(
    database: Database,
    valkey_settings: ValkeySettings,
    vault_settings: VaultSettings,
    openbao_engine: OpenBaoEngine,
    tmp_path: Path,
) -> Mesh:
    pki = Pki(tmp_path / "pki", CLOCK)
    pki.ensure(["gateway"])
    async with LocalVault.open(openbao_engine.url, openbao_engine.root_token) as vault:
        await vault.ensure_transit_key(IDENTITY_KEY, "ed25519")
    address = f"127.0.0.1:{free_port()}"
    environ = {
        "SA01_PROFILE": "test",
        "SA01_POSTGRES_DSN": (await database("gateway")).dsn.get_secret_value(),
        "SA01_POSTGRES_SCHEMA_NAME": "gateway",
        "SA01_VALKEY_URL": valkey_settings.url.get_secret_value(),
        "SA01_VAULT_ADDRESS": vault_settings.address,
        "SA01_VAULT_TOKEN_FILE": str(vault_settings.token_file),
        "SA01_SERVER_BIND": address,
        "SA01_PEERS_GATEWAY": address,
        "SA01_GATEWAY_EDGE_CERT_FILE": str(pki.pair(EDGE).certificate),
        "SA01_GATEWAY_EDGE_KEY_FILE": str(pki.pair(EDGE).key),
        "SA01_GATEWAY_BOOTSTRAP_KEY_FILE": str(tmp_path / "first-key"),
    }
    critic = CriticSettings(
        tls=PLAINTEXT,
        postgres=await database("critic"),
        valkey=valkey_settings,
        vault=vault_settings,
        identity=IdentitySettings(revocations_dir=tmp_path / "revocations"),
        peers={"gateway": address, "assets": "127.0.0.1:1"},
    )
    return Mesh(load(GatewaySettings, "gateway", environ), critic, tmp_path / "first-key")


@asynccontextmanager
async def calling(service: Service, token: str) -> AsyncIterator[grpc.aio.Channel]:
    async def send() -> str:
        return token

    async with connect(service.address, PLAINTEXT, service_config="{}", token=send) as channel:
        yield channel


async def at_gateway(service: Service, token: str) -> Reason | None:
    """Why the gateway refuses a credential, if it does."""
    async with calling(service, token) as channel:
        try:
            await ApiKeyServiceStub(channel).ListApiKeys(identity.ListApiKeysRequest())
        except SomaError as error:
            return error.reason
    return None


async def at_critic(service: Service, token: str) -> Reason | None:
    """Why the critic refuses a credential, if it does."""
    async with calling(service, token) as channel:
        try:
            await RubricServiceStub(channel).ListRubrics(ListRubricsRequest())
        except SomaError as error:
            return error.reason
    return None


async def new_key(service: Service, token: str) -> str:
    async with calling(service, token) as channel:
        wanted = identity.ApiKey(display_name="new", roles=["member", "admin"])
        request = identity.CreateApiKeyRequest(api_key=wanted)
        return str((await ApiKeyServiceStub(channel).CreateApiKey(request)).secret)


async def answers(gateway: Service, token: str) -> None:
    """Wait for a gateway that another channel of this process could not reach before: gRPC tries again later."""

    async def reached() -> bool:
        return await at_gateway(gateway, token) is None

    await eventually(reached)


@pytest.mark.parametrize("kind", ["key", "token"])
async def test_true_signature_over_a_key_that_was_never_made_is_refused_everywhere(mesh: Mesh, kind: str) -> None:
    async with mesh.gateway() as gateway, mesh.critic() as critic:
        for forged in (await mesh.forged(kind), await mesh.forged(kind, ago=timedelta(minutes=5))):
            assert await at_gateway(gateway, forged) is Reason.UNAUTHENTICATED
            assert await at_critic(critic, forged) is Reason.UNAUTHENTICATED
        assert await at_critic(critic, mesh.first_key) is None
    async with Postgres.open(mesh.critic_settings.postgres) as postgres:
        told = [entry for _, entry in await entries(postgres)]
    assert [(entry.action, entry.decision, entry.reason) for entry in told if entry.action == "api_key.use"] == [
        ("api_key.use", AUDIT_DECISION_DENIED, "tenant dev has no such key")
    ] * 2


async def test_new_key_opens_every_service_at_once(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway, mesh.critic() as critic:
        for _ in range(5):
            made = await new_key(gateway, mesh.first_key)
            assert await asyncio.gather(at_critic(critic, made), at_gateway(gateway, made)) == [None, None]


async def test_service_that_starts_without_a_gateway_goes_by_the_keys_on_disk(mesh: Mesh) -> None:
    async with mesh.gateway(), mesh.critic():
        await mesh.key_is_on_disk()
    old, young = await mesh.forged("key", ago=timedelta(minutes=5)), await mesh.forged("key")
    async with mesh.critic() as critic:
        assert await at_critic(critic, mesh.first_key) is None
        assert await at_critic(critic, old) is Reason.UNAUTHENTICATED
        assert await at_critic(critic, young) is Reason.DEPENDENCY_UNAVAILABLE


async def test_keys_on_disk_that_are_too_old_let_only_short_lived_tokens_pass(mesh: Mesh) -> None:
    async with mesh.gateway(), mesh.critic():
        await mesh.key_is_on_disk()
    token = await mesh.signed(Claims("dev", "alice", ("member",), key_id=SystemIds().new()), 900)
    async with mesh.critic(revocations_max_age_s=0.001) as critic:
        assert await at_critic(critic, mesh.first_key) is Reason.DEPENDENCY_UNAVAILABLE
        assert await at_critic(critic, token) is None


async def test_service_follows_a_gateway_that_was_started_again(mesh: Mesh) -> None:
    async with mesh.critic() as critic:
        async with mesh.gateway() as gateway:
            await answers(gateway, mesh.first_key)
            before = await new_key(gateway, mesh.first_key)
        async with mesh.gateway() as gateway:
            await answers(gateway, mesh.first_key)
            after = await new_key(gateway, mesh.first_key)

            async def opens() -> bool:
                return await at_critic(critic, after) is None

            await eventually(opens)
            assert await at_critic(critic, before) is None
            assert await at_critic(critic, await mesh.forged("key")) is Reason.UNAUTHENTICATED


async def test_open_stream_ends_when_its_key_is_revoked(mesh: Mesh) -> None:
    async with mesh.gateway() as gateway, calling(gateway, mesh.first_key) as first:
        keys, wanted = ApiKeyServiceStub(first), identity.ApiKey(display_name="new", roles=["member"])
        made = await keys.CreateApiKey(identity.CreateApiKeyRequest(api_key=wanted))
        watcher = await mesh.signed(Claims("*", "spiffe://soma/critic", ("service",), key_id=made.key_id), 900)
        async with calling(gateway, watcher) as channel:
            stream = aiter(ApiKeyServiceStub(channel).WatchRevocations(identity.WatchRevocationsRequest()))
            await anext(stream)
            await keys.RevokeApiKey(identity.RevokeApiKeyRequest(key_id=made.key_id))
            with pytest.raises(SomaError) as ended:
                async for _ in stream:
                    pass
    assert ended.value.reason is Reason.UNAUTHENTICATED
