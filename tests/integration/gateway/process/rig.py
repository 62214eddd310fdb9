"""The gateway as its own process behind the real edge."""

from __future__ import annotations

import ssl
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import httpx

from mesh.clock import SystemClock
from soma_local.program import Command, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from soma_local.engines import EnvoyEngine, OpenBaoEngine
    from soma_local.home import Home
    from soma_local.pki import Pki


ROOT = Path(__file__).parents[4]
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

    async def until(self, asked: Callable[[], Awaitable[bool]], within_s: float = 20) -> None:
        """Wait for a condition."""
        clock = SystemClock()
        started = clock.monotonic()
        while not await asked():
            assert clock.monotonic() - started < within_s, self.gateway.log_file.read_text()[-3000:]
            await clock.sleep(0.01)


async def new_key(client: httpx.AsyncClient, **fields: object) -> dict[str, str]:
    answer = await client.post("/v1/api-keys", json={"display_name": "test", **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, str] = answer.json()
    return made
