"""An edge of real parts: Envoy from its wheel, the control plane, and one small service behind it."""

from __future__ import annotations

import base64
import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import grpc.aio
import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.clock import SystemClock
from mesh.contexts import installed
from mesh.identity import key_set
from mesh.rpc.interceptors.errors import Errors
from mesh.rpc.server import serving
from mesh.settings import ServerSettings, TlsSettings
from svc_gateway.domain.edge_state import EdgeState, Limits
from svc_gateway.rpc.xds import AggregatedDiscovery, SnapshotBuilder, SnapshotCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from soma_local.engines import EnvoyEngine
    from soma_local.pki import Pki
    from tests.integration.gateway.edge.upstream import Upstream


CONTEXTS = tuple(context.name for context in installed())


class Signer:
    """Signs tokens in a test as the secret store would, and in every wrong way too."""

    def __init__(self, clock: SystemClock) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._now = int(clock.now().timestamp())

    @property
    def jwks(self) -> dict[str, object]:
        return dict(key_set({1: self._key.public_key().public_bytes_raw()}).as_dict())

    @property
    def kid(self) -> str:
        return str(next(iter(key_set({1: self._key.public_key().public_bytes_raw()}))).kid)

    def token(self, *, header: Mapping[str, object] | None = None, **claims: object) -> str:
        told = {
            "iss": "soma", "aud": "soma", "sub": "tester", "jti": "key-1", "tenant": "dev", "roles": ["member"],
            "scopes": [], "kind": "token", "iat": self._now, "exp": self._now + 600, **claims,
        }  # fmt: skip
        head = {"alg": "EdDSA", "kid": self.kid, "typ": "JWT", **(header or {})}
        signed = f"{segment(head)}.{segment(told)}"
        return f"{signed}.{encode(self._key.sign(signed.encode()))}"


def segment(value: Mapping[str, object]) -> str:
    return encode(json.dumps(value).encode())


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class EdgeUnderTest:
    """The running edge; `change` publishes another state to it."""

    url: str
    port: int
    ca: Path
    signer: Signer
    upstream: Upstream
    engine: EnvoyEngine
    state: EdgeState
    feed: SnapshotCache
    rejected: list[tuple[str, str]] = field(default_factory=list)
    builder: SnapshotBuilder = field(default_factory=SnapshotBuilder)

    def change(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]
        self.feed.publish(self.builder.build(self.state))

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    @asynccontextmanager
    async def client(self, *, authenticated: bool = True, http2: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"authorization": f"Bearer {self.signer.token()}"} if authenticated else {}
        async with httpx.AsyncClient(
            base_url=self.url, verify=self.trust, trust_env=False, http2=http2, headers=headers, timeout=20
        ) as client:
            yield client

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.port}", credentials) as channel:
            yield channel


def tls_of(pki: Pki, context: str) -> TlsSettings:
    pair = pki.pair(context)
    return TlsSettings(ca_file=pki.authority, cert_file=pair.certificate, key_file=pair.key, profile="test")


def limits(**changes: float) -> Limits:
    defaults = Limits(
        requests_per_second=100_000,
        tenant_requests_per_second=50_000,
        tenants_tracked=100,
        body_bytes=1 << 20,
        upload_bytes=8 << 20,
        unary_timeout_s=5,
        upload_idle_s=5,
    )
    return replace(defaults, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def control_plane(
    feed: SnapshotCache, pki: Pki, rejected: list[tuple[str, str]], port: int
) -> AsyncIterator[int]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    discovery = AggregatedDiscovery(feed, lambda kind, reason: rejected.append((kind, reason)))
    server.add_generic_rpc_handlers((discovery.handler(),))
    pair = pki.pair("gateway")
    pem = [(pair.key.read_bytes(), pair.certificate.read_bytes())]
    credentials = grpc.ssl_server_credentials(pem, pki.authority.read_bytes(), require_client_auth=True)
    bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(0)


async def services(stack: AsyncExitStack, pki: Pki, upstream: Upstream) -> dict[str, str | None]:
    """One server for each context that tests call; they share what was received."""
    addresses: dict[str, str | None] = {}
    for context, registrations in upstream.registrations().items():
        settings = ServerSettings(max_message_bytes=4 << 20, drain_seconds=0)
        server = await stack.enter_async_context(
            serving(context, settings, tls_of(pki, context), registrations, [Errors()])
        )
        addresses[context] = server.address
    return addresses


async def settled(edge: EdgeUnderTest) -> None:
    """Wait until every service was found healthy."""
    clock = SystemClock()
    async with edge.client() as client:
        for _ in range(400):
            answers = [await client.get(path) for path in ("/v1/health", "/v1/multimodal/jobs")]
            if all(answer.status_code == 200 for answer in answers):
                return
            await clock.sleep(0.02)
    raise AssertionError(f"the edge did not come up: {[answer.text for answer in answers]} {edge.rejected}")
