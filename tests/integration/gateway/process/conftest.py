"""The gateway and its edge, for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from mesh.clock import SystemClock
from soma_local.engines import EnvoyEngine, OpenBaoEngine
from soma_local.envoy_bootstrap import bootstrap
from soma_local.home import Home
from soma_local.pki import EDGE, Pki
from soma_local.ports import free_port
from soma_local.testing import engines
from soma_local.vault import IDENTITY_KEY, Vault
from tests.integration.gateway.process.rig import CONTEXTS, ROOT, GatewayProcess, Mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import ValkeySettings


@pytest.fixture(scope="package")
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
        "SA01_GATEWAY_BOOTSTRAP_PLAN": "dev",
        "SA01_GATEWAY_CHECK_EVERY_S": "0.2",
        "SA01_GATEWAY_CHECK_START_S": "3",
        "SA01_GATEWAY_LEVEL_HOLD_S": "0",
    }
    gateway = GatewayProcess(home, environ, address)
    await gateway.start()
    envoy = EnvoyEngine(home, lambda admin: bootstrap(admin, [xds], pki.authority, edge))
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
