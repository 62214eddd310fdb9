"""The gateway as its own process behind the real edge: keys, tokens, revocation, restart."""

from __future__ import annotations

import json
import ssl
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import httpx
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from mesh.clock import SystemClock
from mesh.local.edge import bootstrap
from mesh.local.engines import EnvoyEngine, OpenBaoEngine
from mesh.local.home import Home
from mesh.local.pki import EDGE, Pki
from mesh.local.ports import free_port
from mesh.local.program import Command, Program
from mesh.local.vault import IDENTITY_KEY, Vault
from mesh.testing import engines
from soma.gateway.v1 import identity_service_pb2, identity_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from mesh.settings import ValkeySettings

ROOT = Path(__file__).parent.parent.parent.parent
CONTEXTS = ("gateway", "registry")


class GatewayProcess(Program):
    """`python -m svc_gateway`."""

    def __init__(self, home: Home, environ: Mapping[str, str], address: str) -> None:
        super().__init__("svc_gateway", home)
        self._environ = environ
        self._address = address

    def command(self) -> Command:
        return Command([sys.executable, "-m", "svc_gateway"], self._environ, folder=ROOT)

    async def ready(self) -> bool:
        return "ready" in self.log_file.read_text() and f'"address": "{self._address}"' in self.log_file.read_text()

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self.wait()
        await self.stop()
        self.log_file.unlink()


@dataclass
class Mesh:
    url: str
    port: int
    home: Home
    pki: Pki
    gateway: GatewayProcess
    key_file: Path
    openbao: OpenBaoEngine
    envoy: EnvoyEngine

    @property
    def key(self) -> str:
        return self.key_file.read_text().strip()

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        trust = ssl.create_default_context(cafile=str(self.pki.authority))
        headers = {"authorization": f"Bearer {self.key if key is None else key}"}
        async with httpx.AsyncClient(
            base_url=self.url, verify=trust, trust_env=False, headers=headers, timeout=20
        ) as client:
            yield client

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        credentials = grpc.ssl_channel_credentials(self.pki.authority.read_bytes())
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials) as channel:
            yield channel

    async def until(self, asked: Callable[[], Awaitable[bool]], within_s: float = 20) -> float:
        """Wait for a condition; gives the seconds it took."""
        clock = SystemClock()
        started = clock.monotonic()
        while not await asked():
            assert clock.monotonic() - started < within_s, self.gateway.log_file.read_text()[-3000:]
            await clock.sleep(0.01)
        return clock.monotonic() - started


@pytest.fixture(scope="module")
async def mesh(
    databases: engines.Databases,
    openbao_engine: OpenBaoEngine,
    valkey_engine: object,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Mesh]:
    home = Home(tmp_path_factory.mktemp("gateway"))
    home.create()
    pki = Pki(home.pki, SystemClock())
    pki.ensure(CONTEXTS)
    async with Vault.open(openbao_engine.url, openbao_engine.root_token) as vault:
        await vault.ensure_transit_key(IDENTITY_KEY, "ed25519")
    postgres = await databases.fresh("gateway", [ROOT / "svc_gateway" / "migrations"])
    port, xds = free_port(), free_port()
    address = f"127.0.0.1:{free_port()}"
    pair = pki.pair("gateway")
    edge = pki.pair(EDGE)
    vault_token = engines.vault_settings(openbao_engine, home.secrets).token_file
    valkey: ValkeySettings = engines.valkey_settings(valkey_engine)  # type: ignore[arg-type]
    environ = {
        "PATH": "/usr/bin:/bin",
        "SA01_PROFILE": "test",
        "SA01_POSTGRES_DSN": postgres.dsn.get_secret_value(),
        "SA01_POSTGRES_SCHEMA_NAME": "gateway",
        "SA01_VALKEY_URL": valkey.url.get_secret_value(),
        "SA01_VAULT_ADDRESS": openbao_engine.url,
        "SA01_VAULT_TOKEN_FILE": str(vault_token),
        "SA01_TLS_CA_FILE": str(pki.authority),
        "SA01_TLS_CERT_FILE": str(pair.certificate),
        "SA01_TLS_KEY_FILE": str(pair.key),
        "SA01_SERVER_BIND": address,
        "SA01_PEERS_GATEWAY": address,
        "SA01_PEERS_REGISTRY": f"127.0.0.1:{free_port()}",
        "SA01_GATEWAY_EDGE_BIND": f"127.0.0.1:{port}",
        "SA01_GATEWAY_EDGE_CERT_FILE": str(edge.certificate),
        "SA01_GATEWAY_EDGE_KEY_FILE": str(edge.key),
        "SA01_GATEWAY_XDS_BIND": f"127.0.0.1:{xds}",
        "SA01_GATEWAY_BOOTSTRAP_KEY_FILE": str(home.secrets / "first-key"),
        "SA01_GATEWAY_CHECK_EVERY_S": "0.2",
        "SA01_GATEWAY_LEVEL_HOLD_S": "0",
    }
    gateway = GatewayProcess(home, environ, address)
    await gateway.start()
    envoy = EnvoyEngine(home, lambda admin: bootstrap(admin, xds, pki.authority, edge))
    try:
        await envoy.start()
        running = Mesh(
            f"https://127.0.0.1:{port}", port, home, pki, gateway, home.secrets / "first-key", openbao_engine, envoy
        )
        async with running.client() as client:

            async def serves() -> bool:
                try:
                    return (await client.get("/v1/api-keys")).status_code == 200
                except httpx.TransportError:
                    return False

            await running.until(serves)
        yield running
    finally:
        await envoy.stop()
        await gateway.stop()


async def new_key(client: httpx.AsyncClient, **fields: object) -> dict[str, str]:
    answer = await client.post("/v1/api-keys", json={"display_name": "test", **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, str] = answer.json()
    return made


async def test_first_key_is_left_for_its_owner_alone(mesh: Mesh) -> None:
    assert mesh.key_file.stat().st_mode & 0o777 == 0o600
    assert mesh.key.startswith("soma_test_")


async def test_secret_of_a_key_is_shown_once(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await new_key(client)
        read = await client.get(f"/v1/api-keys/{made['key_id']}")
    assert made["secret"].startswith("soma_test_")
    assert read.json() == {**made, "secret": ""}


async def test_same_request_makes_one_key(mesh: Mesh) -> None:
    async with mesh.client() as client:
        first = await client.post("/v1/api-keys?request_id=once", json={"display_name": "a"})
        again = await client.post("/v1/api-keys?request_id=once", json={"display_name": "a"})
        other = await client.post("/v1/api-keys?request_id=once", json={"display_name": "b"})
    assert again.json() == {**first.json(), "secret": ""}
    assert (other.status_code, other.json()["details"][0]["reason"]) == (409, "IDEMPOTENCY_MISMATCH")


async def test_key_is_accepted_in_both_headers(mesh: Mesh) -> None:
    async with mesh.client() as client:
        secret = (await new_key(client, roles=["viewer"]))["secret"]
    async with mesh.client(secret) as client:
        assert (await client.get("/v1/health/components")).status_code == 200
    async with mesh.client("") as client:
        client.headers = httpx.Headers({"x-api-key": secret})
        assert (await client.get("/v1/health/components")).status_code == 200


async def test_roles_cannot_be_raised(mesh: Mesh) -> None:
    async with mesh.client() as client:
        admin = (await new_key(client, roles=["admin"]))["secret"]
    async with mesh.client(admin) as client:
        refused = await client.post("/v1/api-keys", json={"display_name": "x", "roles": ["platform_admin"]})
    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (403, "PERMISSION_DENIED")


async def test_policy_decides_who_makes_keys(mesh: Mesh) -> None:
    async with mesh.client() as client:
        viewer = (await new_key(client, roles=["viewer"]))["secret"]
    async with mesh.client(viewer) as client:
        refused = await client.post("/v1/api-keys", json={"display_name": "x"})
    assert refused.status_code == 403


async def test_token_is_accepted_and_keeps_fewer_roles(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await client.post("/v1/token", json={"ttl": "60s", "roles": ["viewer"]})
        assert made.status_code == 200, made.text
    async with mesh.client(made.json()["token"]) as client:
        assert (await client.get("/v1/tenants/dev")).json()["tenant_id"] == "dev"
        assert (await client.get("/v1/api-keys")).status_code == 403


async def test_revoked_key_and_its_tokens_are_refused_within_a_second(mesh: Mesh) -> None:
    async with mesh.client() as admin:
        made = await new_key(admin)
        async with mesh.client(made["secret"]) as client:
            token = (await client.post("/v1/token", json={})).json()["token"]
            async with mesh.client(token) as bearer:
                assert (await bearer.get("/v1/health/components")).status_code == 200
                assert (await admin.delete(f"/v1/api-keys/{made['key_id']}")).status_code == 200

                async def refused() -> bool:
                    answers = [await asker.get("/v1/health/components") for asker in (client, bearer)]
                    return all(answer.status_code == 401 for answer in answers)

                assert await mesh.until(refused) < 1


async def test_revocation_takes_effect_at_the_edge_and_not_only_behind_it(mesh: Mesh) -> None:
    async with mesh.client() as admin:
        made = await new_key(admin)
        await admin.delete(f"/v1/api-keys/{made['key_id']}")
    async with mesh.client(made["secret"]) as client:

        async def refused_by_envoy() -> bool:
            answer = await client.get("/v1/health/components")
            return answer.status_code == 401 and "x-soma-reason" not in answer.headers

        assert await mesh.until(refused_by_envoy) < 1


async def test_revocations_are_streamed_to_services_only(mesh: Mesh) -> None:
    async with mesh.channel() as channel:
        stub = identity_service_pb2_grpc.ApiKeyServiceStub(channel)
        call = stub.WatchRevocations(
            identity_service_pb2.WatchRevocationsRequest(), metadata=(("authorization", f"Bearer {mesh.key}"),)
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_tenants_see_themselves_alone(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = await client.post("/v1/tenants", json={"tenant_id": "acme", "display_name": "Acme"})
        assert (made.status_code, made.json()["plan"]) == (200, "pro")
        assert (await client.post("/v1/tenants", json={"tenant_id": "acme"})).status_code == 409
        admin = (await new_key(client, roles=["admin"]))["secret"]
    async with mesh.client(admin) as client:
        assert (await client.get("/v1/tenants/acme")).status_code == 404
        assert [tenant["tenant_id"] for tenant in (await client.get("/v1/tenants")).json()["tenants"]] == ["dev"]


async def test_pages_of_keys_are_complete_and_in_order(mesh: Mesh) -> None:
    async with mesh.client() as client:
        made = [(await new_key(client))["key_id"] for _ in range(3)]
        found: list[str] = []
        token = ""
        while True:
            page = (await client.get("/v1/api-keys", params={"page_size": 2, "page_token": token})).json()
            found += [key["key_id"] for key in page["api_keys"]]
            token = page["next_page_token"]
            if not token:
                break
        refused = await client.get("/v1/api-keys", params={"page_token": "%%%"})
    assert found[:3] == made[::-1]
    assert len(found) == len(set(found))
    assert refused.status_code == 400


async def test_health_names_what_is_lost(mesh: Mesh) -> None:
    async with mesh.client("") as client:
        client.headers = httpx.Headers()

        async def judged() -> bool:
            return bool((await client.get("/v1/health")).json()["unhealthy_components"])

        await mesh.until(judged)
        status = (await client.get("/v1/health")).json()
    assert status["unhealthy_components"] == ["svc_registry"]
    assert status["level"] == "DEGRADATION_LEVEL_SEVERE"
    async with mesh.client() as client:
        parts = {part["name"]: part for part in (await client.get("/v1/health/components")).json()["components"]}
    assert set(parts) == {"postgres", "valkey", "vault", "svc_gateway", "svc_registry"}
    assert parts["postgres"]["state"] == "COMPONENT_STATE_HEALTHY"
    assert parts["svc_registry"]["reason"] == "cannot be reached"


async def test_status_is_streamed(mesh: Mesh) -> None:
    async with mesh.client() as client, client.stream("GET", "/v1/health/events") as stream:
        line = await anext(stream.aiter_lines())
    assert stream.headers["content-type"] == "text/event-stream"
    assert json.loads(line.removeprefix("data: "))["level"].startswith("DEGRADATION_LEVEL_")


async def test_openapi_and_keys_are_public(mesh: Mesh) -> None:
    async with mesh.client("") as client:
        client.headers = httpx.Headers()
        document = await client.get("/openapi.json")
        keys = await client.get("/.well-known/jwks.json")
    assert document.json() == json.loads((ROOT / "gen" / "openapi" / "openapi.json").read_text())
    assert {key["kty"] for key in keys.json()["keys"]} == {"OKP"}
    assert all("d" not in key for key in keys.json()["keys"])


async def test_reflection_lists_every_service_through_the_edge(mesh: Mesh) -> None:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with mesh.channel() as channel:
        ask = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answer = await anext(aiter(ask(requests())))
    names = {service.name for service in answer.list_services_response.service}
    assert {"soma.executor.v1.JobService", "soma.registry.v1.CapabilityService", "grpc.health.v1.Health"} <= names


async def test_health_of_each_service_is_told_through_the_edge(mesh: Mesh) -> None:
    async with mesh.channel() as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

        async def status(service: str) -> str:
            answer = await check(health_pb2.HealthCheckRequest(service=service))
            return str(json_format.MessageToDict(answer)["status"])

        async def told() -> bool:
            return await status("soma.gateway.v1.ApiKeyService") == "SERVING"

        await mesh.until(told)
        assert await status("") == "SERVING"
        assert await status("soma.registry.v1.CapabilityService") == "NOT_SERVING"


async def test_rotated_signing_key_is_accepted_and_connections_stay(mesh: Mesh) -> None:
    async with mesh.client() as client:
        assert (await client.get("/v1/health/components")).status_code == 200
        async with Vault.open(mesh.openbao.url, mesh.openbao.root_token) as vault:
            await vault.ensure_transit_key(IDENTITY_KEY, "ed25519")
            await vault._call("POST", f"transit/keys/{IDENTITY_KEY}/rotate")

        async def published() -> bool:
            return len((await client.get("/.well-known/jwks.json")).json()["keys"]) > 1

        await mesh.until(published, within_s=40)

        async def accepted() -> bool:
            made = (await client.post("/v1/token", json={})).json()
            async with mesh.client(made["token"]) as other:
                return (await other.get("/v1/health/components")).status_code == 200

        await mesh.until(accepted, within_s=40)
        assert (await client.get("/v1/health/components")).status_code == 200


async def test_edge_serves_on_while_the_control_plane_restarts(mesh: Mesh) -> None:
    async with mesh.client() as client:
        revoked = await new_key(client)
        await client.delete(f"/v1/api-keys/{revoked['key_id']}")
        first_key = mesh.key
        await mesh.gateway.kill()
        absent = await client.get("/v1/api-keys")
        assert (absent.status_code, absent.json()["details"][0]["reason"]) == (503, "UNAVAILABLE")
        assert absent.headers["retry-after"] == "1"
        async with mesh.client(revoked["secret"]) as other:
            assert (await other.get("/v1/api-keys")).status_code == 401
        await mesh.gateway.start()

        async def serves() -> bool:
            return (await client.get("/v1/api-keys")).status_code == 200

        await mesh.until(serves)
        assert mesh.key == first_key
        later = await new_key(client)
        await client.delete(f"/v1/api-keys/{later['key_id']}")
        async with mesh.client(later["secret"]) as other:

            async def refused_by_envoy() -> bool:
                answer = await other.get("/v1/api-keys")
                return answer.status_code == 401 and "x-soma-reason" not in answer.headers

            # Until the proxy has found the new control plane, the service itself refuses.
            await mesh.until(refused_by_envoy)
