"""One whole mesh for all end-to-end tests: engines, services and Envoy, as `soma up` runs them."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from mesh.clock import SystemClock
from mesh.identity import SYSTEM_TENANT, Claims, TokenMinter
from mesh.ids import SystemIds
from mesh.secrets import Vault, VaultTransit
from mesh.settings import VaultSettings
from soma_local.engines import PostgresEngine
from soma_local.environment import bootstrap_key_file
from soma_local.home import Home
from soma_local.ports import free_port
from soma_local.supervisor import StateFile
from tests.e2e.collector import Collector, collecting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_S = 600
_NEW_KEY = """
INSERT INTO gateway.api_keys (key_id, tenant_id, display_name, subject, roles, created_at, expires_at, created_by,
                              request_digest)
VALUES ($1, $2, 'tests', 'tests', '{}', now(), now() + interval '1 day', 'tests', '')
"""


@dataclass
class RunningMesh:
    """A mesh that runs: its home, the port of its edge, the key of its development tenant, its spans."""

    home: Home
    port: int
    spans: Collector | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def key(self) -> str:
        return bootstrap_key_file(self.home).read_text().strip()

    @property
    def authority(self) -> Path:
        return self.home.pki / "ca.pem"

    @property
    def environ(self) -> dict[str, str]:
        own = {**os.environ, "SA01_HOME": str(self.home.root)}
        if self.spans is None:
            return own
        return own | {
            "SA01_TELEMETRY_OTLP_ENDPOINT": self.spans.endpoint,
            "SA01_TELEMETRY_STATEMENT_SPANS": "true",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    def soma(self, *words: str, timeout: float = START_S) -> subprocess.CompletedProcess[str]:
        """Runs the command line as a person would."""
        command = [sys.executable, "-m", "soma_cli", *words]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=timeout, check=False)

    def client(self, credential: str | None = None) -> httpx.Client:
        """A REST client, with the development tenant's key unless another credential (or "") is given."""
        key = self.key if credential is None else credential
        headers = {"authorization": f"Bearer {key}"} if key else {}
        trust = ssl.create_default_context(cafile=str(self.authority))
        return httpx.Client(base_url=self.url, headers=headers, verify=trust, timeout=60, trust_env=False)

    def tenant_key(self, tenant_id: str, plan: str = "dev", roles: tuple[str, ...] = ("admin",)) -> str:
        """An API key of a tenant, which is made unless it is there."""
        with self.client() as owner:
            made = owner.post("/v1/tenants", json={"tenant_id": tenant_id, "plan": plan})
            assert made.status_code in {httpx.codes.OK, httpx.codes.CONFLICT}, made.text
            key = {"display_name": "tests", "roles": list(roles)}
            answer = owner.post("/v1/api-keys", params={"tenant_id": tenant_id}, json=key)
            assert answer.status_code == httpx.codes.OK, answer.text
            return str(answer.json()["secret"])

    def variable(self, wanted: str) -> str:
        """A setting of the services."""
        for line in (self.home.run / "services.env").read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            if name == wanted:
                return value.strip("'\"")
        raise LookupError(wanted)

    def service_address(self, context: str) -> str:
        """host:port of a context's own server."""
        return self.variable(f"SA01_PEERS_{context.upper()}")

    def pid(self, program: str) -> int:
        """Process id of a program that is supervised."""
        state = StateFile(self.home).running()
        if state is None:
            raise LookupError("nothing runs")
        return next(entry.pid for entry in state.programs if entry.name == program)

    async def token(self, claims: Claims, ttl_s: float = 900) -> str:
        """A token signed by this mesh's own key, of a new API key unless the claims name one or are a service's."""
        if not claims.key_id and claims.tenant_id != SYSTEM_TENANT:
            claims = replace(claims, key_id=await self._new_key_id(claims.tenant_id))
        address = self.variable("SA01_VAULT_ADDRESS")
        settings = VaultSettings(address=address, token_file=self.home.secrets / "vault-token-gateway")
        async with Vault.open(settings) as vault:
            minter = TokenMinter(
                VaultTransit(vault),
                "soma-identity",
                issuer="soma",
                audience="soma",
                clock=SystemClock(),
                ids=SystemIds(),
            )
            return await minter.mint(claims, ttl_s)

    async def _new_key_id(self, tenant_id: str) -> str:
        """An API key of a tenant that need not exist; its credential is nobody's."""
        port = int(self.variable("SA01_REGISTRY_POSTGRES_DSN").rpartition(":")[2].partition("/")[0])
        key_id = SystemIds().new()
        connection = await asyncpg.connect(PostgresEngine(self.home, port).dsn_of("soma"))
        try:
            await connection.execute(_NEW_KEY, key_id, tenant_id)
        finally:
            await connection.close()
        return key_id


@pytest.fixture(scope="package")
def spans() -> Iterator[Collector]:
    """Where the mesh exports its traces to."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory, spans: Collector) -> Iterator[RunningMesh]:
    """Starts the mesh once; its logs are shown when it does not start."""
    home = Home(tmp_path_factory.mktemp("soma"))
    running = RunningMesh(home, free_port(), spans)
    up = running.soma("up", "--detach", "--port", str(running.port))
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield running
    finally:
        running.soma("down")


@pytest.fixture
def api(mesh: RunningMesh) -> Iterator[httpx.Client]:
    """REST as the development tenant."""
    with mesh.client() as client:
        yield client


@pytest.fixture
async def stranger(mesh: RunningMesh) -> str:
    """A token of another tenant, with every role a tenant can give."""
    return await mesh.token(Claims("stranger", "mallory", roles=("viewer", "member", "admin")))
