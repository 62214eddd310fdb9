"""The gateway's second server, for proxies only: xDS, and health and reflection of the whole mesh."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from mesh.addresses import is_loopback
from mesh.health import OVERALL, Health
from mesh.rpc import reflection
from mesh.rpc.access import declared_access
from mesh.rpc.credentials import server_credentials
from mesh.rpc.interceptors.admission import MAX_PUBLIC_STREAMS, Admission
from mesh.rpc.interceptors.errors import Errors
from mesh.rpc.registrar import Registrar
from mesh.settings import SettingsError
from svc_gateway.domain.degradation import State

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from mesh.settings import TlsSettings
    from svc_gateway.app.health_monitor import HealthMonitor
    from svc_gateway.domain.degradation import Report
    from svc_gateway.domain.routes import RouteTable
    from svc_gateway.rpc.xds import AggregatedDiscovery

HEALTH = "grpc.health.v1.Health"
_DRAIN_S = 1.0
_MIN_PING_INTERVAL_MS = 5_000
"""Proxies ping every 10 s to notice a control plane that is gone; more frequent pings close the connection."""


class ControlServer:
    """Serves xDS, reflection over every service of the mesh, and the health of each by its name.

    At most `public_streams` streams of reflection and health are served at once, so that they cannot crowd out xDS.
    """

    def __init__(
        self,
        routes: RouteTable,
        discovery: AggregatedDiscovery,
        clock: Clock,
        public_streams: int = MAX_PUBLIC_STREAMS,
    ) -> None:
        self._routes = routes
        self._discovery = discovery
        self._clock = clock
        self._health = Health()
        self._admission = Admission(0, 0, public_streams)

    @asynccontextmanager
    async def serving(self, bind: str, tls: TlsSettings) -> AsyncIterator[str]:
        """Serves while entered; yields the host:port bound. OSError when it cannot be bound."""
        server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        server.add_generic_rpc_handlers((self._discovery.handler(),))
        registrar = Registrar([(health_pb2_grpc.add_HealthServicer_to_server, self._health)])
        for add, servicer in reflection.registrations((*self._routes.services, HEALTH)):
            add(servicer, registrar)
        registrar.register(server, [Errors(), self._admission], self._clock, declared_access)
        address = _bind(server, bind, tls)
        await server.start()
        await self._health.set(OVERALL, True)
        try:
            yield address
        finally:
            await self._health.drain()
            await server.stop(_DRAIN_S)

    async def publish_health(self, monitor: HealthMonitor) -> None:
        """Publishes the health of each service by its name whenever the monitor's report changes, forever."""
        async for report in monitor.watch():
            await self._set_health(report)

    async def _set_health(self, report: Report) -> None:
        states = {component.name: component.state for component in report.components}
        for method in self._routes.methods:
            state = states.get(f"svc_{method.context}", State.UNKNOWN)
            await self._health.set(method.service, state is State.HEALTHY)


def _bind(server: grpc.aio.Server, bind: str, tls: TlsSettings) -> str:
    """Binds the port. It serves private keys, so without mutual TLS the address must be a loopback address."""
    credentials = server_credentials(tls)
    host = bind.rpartition(":")[0]
    if credentials is None and not is_loopback(host):
        raise SettingsError("SA01_GATEWAY_XDS_BIND must be a loopback address while SA01_TLS_* are not set")
    try:
        port = server.add_insecure_port(bind) if credentials is None else server.add_secure_port(bind, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {bind}: is it in use?") from error
    return f"{host}:{port}"
