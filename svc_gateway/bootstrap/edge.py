"""The wiring of the edge's control plane."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.chassis import SIGNING_KEY
from mesh.identity import jwks_source
from mesh.lifecycle import background
from mesh.logging import get_logger
from mesh.rpc.credentials import show_expiry
from mesh.rpc.targets import endpoints
from svc_gateway.adapters.edge_sources import FileEdgeSources
from svc_gateway.app.edge_reconciler import EdgeReconciler
from svc_gateway.context import NAME
from svc_gateway.domain.edge_state import SPIFFE, Cors, CredentialVerification, EdgeState, Limits
from svc_gateway.rpc.control_plane import ControlServer
from svc_gateway.rpc.xds import AggregatedDiscovery, SnapshotBuilder, SnapshotCache
from svc_gateway.rpc.xds.messages import split_host_port

if TYPE_CHECKING:
    from mesh.chassis import Chassis
    from svc_gateway.adapters.descriptors import Descriptors
    from svc_gateway.app.health_monitor import HealthMonitor
    from svc_gateway.app.revoked_key_feed import RevokedKeyFeed
    from svc_gateway.settings import Settings

_UPLOAD_MARGIN_MB = 2
EDGE = f"{SPIFFE}edge"


async def edge_sources(chassis: Chassis, settings: Settings) -> FileEdgeSources:
    """Returns the sources of the edge's certificates and keys."""
    keys = await chassis.enter(jwks_source(settings.identity, chassis.transit, SIGNING_KEY, chassis.clock))
    own = settings.gateway
    show_expiry("edge", own.edge_cert_file)
    return FileEdgeSources(own.edge_cert_file, own.edge_key_file, settings.tls.ca_file, keys)


async def serve_edge(
    chassis: Chassis,
    settings: Settings,
    *,
    descriptors: Descriptors,
    sources: FileEdgeSources,
    revoked: RevokedKeyFeed,
    monitor: HealthMonitor,
    own_address: str,
) -> None:
    """Serves the control plane. Called last: when a proxy connects, everything behind it is ready."""
    log = get_logger("svc_gateway")
    cache, builder = SnapshotCache(), SnapshotBuilder()
    discovery = AggregatedDiscovery(
        cache,
        lambda kind, reason: log.error("a proxy refused its configuration", kind=kind, reason=reason),
        EDGE if settings.tls.enabled else None,
    )
    control = ControlServer(descriptors.route_table(), discovery, chassis.clock)
    address = await chassis.enter(control.serving(settings.gateway.xds_bind, settings.tls))
    state = _state(settings, descriptors, sources, own_address, _reachable_address(address, settings))
    reconciler = EdgeReconciler(
        state, sources, lambda: revoked.ids, build=builder.build, publish=cache.publish, clock=chassis.clock
    )
    await asyncio.to_thread(builder.build, state)  # takes a second, in which other contexts of this process start
    revoked.on_change(lambda _: reconciler.wake())
    await reconciler.refresh()
    await chassis.enter(background(reconciler.run, "edge", clock=chassis.clock))
    await chassis.enter(background(lambda: control.publish_health(monitor), "mesh-health", clock=chassis.clock))


def _state(
    settings: Settings, descriptors: Descriptors, sources: FileEdgeSources, own_address: str, control: str
) -> EdgeState:
    routes, own, identity = descriptors.route_table(), settings.gateway, settings.identity
    host, port = split_host_port(own.edge_bind)
    upstreams = {context: settings.peers.get(context) for context in routes.contexts}
    return EdgeState(
        host=host,
        port=port,
        routes=routes,
        descriptors=descriptors.transcoding_set(),
        upstreams={**upstreams, NAME: upstreams.get(NAME) or own_address},
        control=control,
        tls=sources.tls(),
        credentials=CredentialVerification(identity.issuer, identity.audience, own.environment, sources.jwks()),
        limits=Limits(
            requests_per_second=own.requests_per_second,
            tenant_requests_per_second=own.tenant_requests_per_second,
            tenants_tracked=own.tenants_tracked,
            body_bytes=own.body_bytes,
            upload_bytes=(own.max_asset_size_mb + _UPLOAD_MARGIN_MB) * 1024 * 1024,
            unary_timeout_s=own.unary_timeout_s,
            upload_idle_s=own.upload_idle_s,
            upload_longest_s=own.upload_longest_s,
        ),
        cors=Cors(own.cors_origins),
        access_log=own.access_log,
        collector=settings.telemetry.otlp_endpoint or "",
    )


def _reachable_address(bound: str, settings: Settings) -> str:
    """Returns where proxies reach a bound server: at the gateway's published host if it is bound to all interfaces."""
    host, port = split_host_port(bound)
    if host not in {"0.0.0.0", "::"} or NAME not in settings.peers:  # noqa: S104 - compared, not bound
        return bound
    return f"{endpoints(settings.peers[NAME])[0].rpartition(':')[0]}:{port}"
