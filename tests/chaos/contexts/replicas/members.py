"""The replicas of a mesh, each asked by itself, past the edge and past the balancing of calls."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio
import httpx
from prometheus_client.parser import text_string_to_metric_families

from mesh.clock import SystemClock
from soma_local.pki import OPERATOR, Pki
from soma_local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from tests.e2e.conftest import RunningMesh

ASKED = {
    "assets": "/soma.assets.v1.AssetService/ListAssets",
    "critic": "/soma.critic.v1.RubricService/ListRubrics",
    "executor": "/soma.executor.v1.JobService/ListJobs",
    "gateway": "/soma.gateway.v1.ApiKeyService/ListApiKeys",
    "provenance": "/soma.provenance.v1.ReceiptService/ListReceipts",
    "registry": "/soma.registry.v1.CapabilityService/ListLadders",
    "selector": "/soma.selector.v1.SelectorService/ListSelections",
}
"""A cheap method of each context, whose empty request is good."""
_CALLS = "rpc_server_seconds_count"
_NO_CALLS = "grpc.health.v1.Health"
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Replica:
    """One replica: its name as in `soma status`, its context, its ports."""

    name: str
    context: str
    port: int
    metrics: int


def members(mesh: RunningMesh) -> Iterator[Replica]:
    """Every replica of a mesh."""
    ports: dict[str, int] = json.loads((mesh.home.run / "ports.json").read_text())
    for name, port in ports.items():
        context, _, number = name.partition(".")
        if context in ASKED and (not number or number.isdigit()):
            metrics = ports[f"{context}.metrics.{number}" if number else f"{context}.metrics"]
            yield Replica(f"svc-{context}-{number or 1}", context, port, metrics)


class Replicas:
    """Asks replicas."""

    def __init__(
        self, found: Sequence[Replica], http: httpx.AsyncClient, open_channel: Callable[[int], grpc.aio.Channel]
    ) -> None:
        self.all = found
        self._http = http
        self._channels = {member.name: open_channel(member.port) for member in found}

    @classmethod
    @asynccontextmanager
    async def open(cls, mesh: RunningMesh) -> AsyncIterator[Replicas]:
        """The replicas of a mesh that runs."""
        pair = Pki(mesh.home.pki, SystemClock()).pair(OPERATOR)
        files = (mesh.authority, pair.key, pair.certificate)
        credentials = grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))

        def open_channel(port: int) -> grpc.aio.Channel:
            soon = [("grpc.max_reconnect_backoff_ms", 500)]
            return grpc.aio.secure_channel(f"{LOOPBACK}:{port}", credentials, soon)

        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http, AsyncExitStack() as stack:
            opened = cls(list(members(mesh)), http, open_channel)
            for channel in opened._channels.values():
                await stack.enter_async_context(channel)
            yield opened

    async def admits(self, member: Replica, key: str) -> bool | None:
        """Whether a replica lets the key in; None when it is away."""
        call = self._channels[member.name].unary_unary(ASKED[member.context])
        try:
            await call(b"", metadata=(("authorization", f"Bearer {key}"),), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                return None
            return error.code() is not grpc.StatusCode.UNAUTHENTICATED
        return True

    async def calls(self) -> Counter[str]:
        """Calls that each replica has served since it started, health checks aside."""
        return Counter({member.name: round(await self._sum(member, _CALLS)) for member in self.all})

    async def total(self, metric: str) -> float:
        """A counter, summed over all replicas."""
        return sum([await self._sum(member, metric) for member in self.all])

    async def _sum(self, member: Replica, metric: str) -> float:
        answer = await self._http.get(f"http://{LOOPBACK}:{member.metrics}/metrics")
        samples = [
            sample for family in text_string_to_metric_families(answer.text) for sample in family.samples
            if sample.name == metric and sample.labels.get("service") != _NO_CALLS
        ]  # fmt: skip
        return sum(sample.value for sample in samples)
