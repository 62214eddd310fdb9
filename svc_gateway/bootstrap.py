"""The wiring of the gateway."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
import httpx

from mesh.chassis import SIGNING_KEY, chassis
from mesh.contexts import installed
from mesh.identity import jwks_source
from mesh.lifecycle import background
from mesh.logging import get_logger
from mesh.rpc.client import connect
from mesh.rpc.credentials import show_expiry
from mesh.rpc.key_streams import KeyStreams
from mesh.rpc.targets import endpoints
from mesh.settings import load
from mesh.stores import valkey
from soma.gateway.v1.health_service_pb2_grpc import (
    add_ApiServiceServicer_to_server,
    add_DegradationServiceServicer_to_server,
)
from soma.gateway.v1.identity_service_pb2_grpc import (
    add_ApiKeyServiceServicer_to_server,
    add_TenantServiceServicer_to_server,
    add_TokenServiceServicer_to_server,
)
from soma.gateway.v1.permission_service_pb2_grpc import add_PermissionServiceServicer_to_server
from svc_gateway.adapters import checks
from svc_gateway.adapters.descriptors import Descriptors
from svc_gateway.adapters.keyfile import KeyFile
from svc_gateway.adapters.postgres import PostgresKeys, PostgresTenants, first_key_lock
from svc_gateway.adapters.retention import RULES
from svc_gateway.adapters.sources import EdgeSources
from svc_gateway.app.edge_reconciler import EdgeReconciler
from svc_gateway.app.existing_keys import ExistingKeys
from svc_gateway.app.first_key import ensure_first_key
from svc_gateway.app.keys import Keys, Tokens
from svc_gateway.app.monitor import Check, CheckTiming, Monitor
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revocations import RevokedKeys, ends_of
from svc_gateway.app.signed_statements import Statements
from svc_gateway.app.tenants import Tenants
from svc_gateway.context import CONTEXT, NAME
from svc_gateway.domain.degradation import Thresholds
from svc_gateway.domain.edge_state import SPIFFE, Cors, Credentials, EdgeState, Limits
from svc_gateway.rpc.control_plane import ControlServer
from svc_gateway.rpc.health import ApiServicer, DegradationServicer
from svc_gateway.rpc.identity import ApiKeyServicer, TokenServicer, existing_keys, revocations
from svc_gateway.rpc.permissions import PermissionServicer
from svc_gateway.rpc.tenants import TenantServicer
from svc_gateway.rpc.xds import AggregatedDiscovery, Feed, SnapshotBuilder
from svc_gateway.rpc.xds.messages import split
from svc_gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from mesh.chassis import Chassis
    from mesh.contexts import ContextDeclaration
    from mesh.lifecycle import Service
    from svc_gateway.domain.routes import RouteTable

_UPLOAD_MARGIN_MB = 2
_UNCONFIRMED_TIMEOUT_S = 3.0
"""Time limit of a question to a context about another part, in seconds."""
EDGE = f"{SPIFFE}edge"
OPENAPI = Path(__file__).parent.parent / "gen" / "openapi" / "openapi.json"


@dataclass(frozen=True)
class _Identity:
    """The use cases on keys and tenants."""

    keys: Keys
    tokens: Tokens
    tenants: Tenants
    permissions: Permissions
    revoked: RevokedKeys
    existing: ExistingKeys
    statements: Statements


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the gateway and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        descriptors = Descriptors.read()
        descriptors.load_generated()
        routes = descriptors.route_table()
        identity = await _identity(mesh, settings)
        monitor = await _monitor(mesh, settings, routes)
        sources = await _sources(mesh, settings)
        service = await mesh.serve(
            [
                (add_TokenServiceServicer_to_server, TokenServicer(identity.tokens)),
                (
                    add_ApiKeyServiceServicer_to_server,
                    ApiKeyServicer(
                        identity.keys, identity.revoked, identity.existing, identity.statements, identity.tenants
                    ),
                ),
                (add_TenantServiceServicer_to_server, TenantServicer(identity.tenants)),
                (add_PermissionServiceServicer_to_server, PermissionServicer(identity.permissions)),
                (
                    add_DegradationServiceServicer_to_server,
                    DegradationServicer(monitor, metadata.version("somamesh"), mesh.heartbeats),
                ),
                (add_ApiServiceServicer_to_server, ApiServicer(OPENAPI.read_bytes(), sources.jwks)),
            ]
        )
        await mesh.enter(background(monitor.run, "monitor"))
        await mesh.apply_retention(RULES, settings.gateway.request_ids_days)
        await _edge(
            mesh,
            settings,
            descriptors=descriptors,
            sources=sources,
            revoked=identity.revoked,
            monitor=monitor,
            own_address=service.address,
        )
        yield service


async def _identity(mesh: Chassis, settings: Settings) -> _Identity:
    store = PostgresKeys(mesh.postgres, mesh.auditor, settings.gateway.tenant_api_keys)
    tenant_store = PostgresTenants(mesh.postgres, mesh.auditor)
    permissions = Permissions(tenant_store, store, settings.tls.profile)
    keys = Keys(store, permissions, mesh.minter, settings.gateway.environment, clock=mesh.clock, ids=mesh.ids)
    tenants = Tenants(tenant_store, mesh.clock)
    revoked, existing = RevokedKeys(store, mesh.clock), ExistingKeys(store, mesh.clock)
    revoked.on_change(lambda added: mesh.revoked.add(ends_of(added)))
    await mesh.enter(revoked.following())
    await mesh.enter(existing.following())
    audits = await mesh.audit_queue()
    statements = Statements(mesh.minter, mesh.clock)
    await mesh.enter(background(lambda: statements.sign_revoked(revoked), "revocations-signed", clock=mesh.clock))
    await mesh.enter(background(statements.sign_keys, "api-keys-signed", clock=mesh.clock))
    # This process judges keys by the same streams that it serves to the others.
    streams = KeyStreams(
        revoked=lambda known: revocations(revoked, known),
        existing=lambda known: existing_keys(existing, statements, known),
    )
    await mesh.follow_keys(streams)
    await mesh.wait_for_keys()
    if settings.gateway.bootstrap_key_file is not None:
        file = KeyFile(settings.gateway.bootstrap_key_file)
        tenant, plan = settings.gateway.bootstrap_tenant, settings.gateway.bootstrap_plan
        lock = first_key_lock(mesh.postgres)
        await ensure_first_key(
            tenant, plan, file, lock=lock, keys=keys, tenants=tenants, verify=mesh.verifier.authenticate
        )
    tokens = Tokens(store, mesh.minter, audits.add, mesh.clock)
    return _Identity(keys, tokens, tenants, permissions, revoked, existing, statements)


async def _sources(mesh: Chassis, settings: Settings) -> EdgeSources:
    keys = await mesh.enter(jwks_source(settings.identity, mesh.transit, SIGNING_KEY, mesh.clock))
    own = settings.gateway
    show_expiry("edge", own.edge_cert_file)
    return EdgeSources(own.edge_cert_file, own.edge_key_file, settings.tls.ca_file, keys)


async def _monitor(mesh: Chassis, settings: Settings, routes: RouteTable) -> Monitor:
    redis = await mesh.enter(valkey.open(settings.valkey))
    own = settings.gateway
    trust = _vault_trust(settings)
    http = await mesh.enter(httpx.AsyncClient(trust_env=False, verify=trust, timeout=own.check_deadline_s))
    parts = [
        Check("postgres", checks.postgres_health(mesh.postgres), critical=True),
        Check("valkey", checks.valkey_health(redis), critical=settings.bus.kind == "valkey"),
        Check("vault", checks.vault_health(http, settings.vault.address)),
        Check("bus", checks.answers(mesh.bus.ping), critical=True),
    ]
    if settings.temporal is not None:
        channel = await mesh.enter(grpc.aio.insecure_channel(settings.temporal.address))
        parts.append(Check("temporal", checks.temporal_health(channel)))
    peers: dict[str, grpc.aio.Channel] = {}
    for context in routes.contexts:
        address = settings.peers.get(context)
        if address is not None:
            opening = connect(address, settings.tls, service_config=mesh.service_config, clock=mesh.clock)
            peers[context] = await mesh.enter(opening)
    parts += _context_checks([context for context in installed() if context.name in routes.contexts], peers)
    thresholds = Thresholds(
        minor_s=own.minor_response_s,
        moderate_s=own.moderate_response_s,
        severe_s=own.severe_response_s,
        minor_errors=own.minor_error_rate,
        moderate_errors=own.moderate_error_rate,
        circuit_failures=own.circuit_failure_rate,
        min_calls=own.min_calls,
        hold_s=own.level_hold_s,
    )
    pace = CheckTiming(own.check_every_s, own.check_deadline_s, own.check_start_s)
    return Monitor(parts, pace, thresholds, mesh.clock)


def _context_checks(contexts: Sequence[ContextDeclaration], peers: Mapping[str, grpc.aio.Channel]) -> list[Check]:
    """How the contexts are checked, and what each of them alone can tell of other parts."""
    parts = [check for context in contexts for check in _own_check(context, peers.get(context.name))]
    keeping = {each.name: peers[each.name] for each in contexts if each.name in peers and not each.stateless}
    parts.append(_unconfirmed("outbox", checks.dependency_of_all(keeping, "outbox")))
    return parts + [
        _unconfirmed(part, checks.dependency(context.name, peers[context.name], part))
        for context in contexts
        if context.name in peers
        for part in context.reports
    ]


def _own_check(context: ContextDeclaration, peer: grpc.aio.Channel | None) -> list[Check]:
    """How a context is checked; one without an address is told of, but for this one, which knows its own."""
    name = f"svc_{context.name}"
    if peer is not None:
        return [Check(name, checks.grpc_health(peer), critical=context.critical)]
    if context.name == NAME:
        return []
    get_logger("svc_gateway").warning("a context has no address", peer=context.name)
    return [Check(name, checks.without_address(context.name), critical=context.critical)]


def _unconfirmed(name: str, probe: checks.Probe) -> Check:
    """A check of a part about which others are asked."""
    return Check(name, probe, unconfirmed=True, deadline_s=_UNCONFIRMED_TIMEOUT_S)


async def _edge(
    mesh: Chassis,
    settings: Settings,
    *,
    descriptors: Descriptors,
    sources: EdgeSources,
    revoked: RevokedKeys,
    monitor: Monitor,
    own_address: str,
) -> None:
    """Serve the control plane, last of all: a proxy that connects finds everything behind it ready."""
    log = get_logger("svc_gateway")
    feed, builder = Feed(), SnapshotBuilder()
    discovery = AggregatedDiscovery(
        feed,
        lambda kind, reason: log.error("a proxy refused its configuration", kind=kind, reason=reason),
        EDGE if settings.tls.enabled else None,
    )
    control = ControlServer(descriptors.route_table(), discovery, mesh.clock)
    address = await mesh.enter(control.serving(settings.gateway.xds_bind, settings.tls))
    state = _state(settings, descriptors, sources, own_address, _reachable(address, settings))
    reconciler = EdgeReconciler(
        state, sources, lambda: revoked.ids, build=builder.build, publish=feed.publish, clock=mesh.clock
    )
    await asyncio.to_thread(builder.build, state)  # takes a second, which others start in
    revoked.on_change(lambda _: reconciler.wake())
    await reconciler.refresh()
    await mesh.enter(background(reconciler.run, "edge", clock=mesh.clock))
    await mesh.enter(background(lambda: control.publish_health(monitor), "mesh-health", clock=mesh.clock))


def _state(
    settings: Settings, descriptors: Descriptors, sources: EdgeSources, own_address: str, control: str
) -> EdgeState:
    routes, own, identity = descriptors.route_table(), settings.gateway, settings.identity
    host, port = split(own.edge_bind)
    upstreams = {context: settings.peers.get(context) for context in routes.contexts}
    return EdgeState(
        host=host,
        port=port,
        routes=routes,
        descriptors=descriptors.transcoding_set(),
        upstreams={**upstreams, NAME: upstreams.get(NAME) or own_address},
        control=control,
        trust=sources.trust(),
        credentials=Credentials(identity.issuer, identity.audience, own.environment, sources.jwks()),
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


def _reachable(bound: str, settings: Settings) -> str:
    """Where proxies reach a server bound to every interface: at the gateway's published host."""
    host, port = split(bound)
    if host not in {"0.0.0.0", "::"} or NAME not in settings.peers:  # noqa: S104 - compared, not bound
        return bound
    return f"{endpoints(settings.peers[NAME])[0].rpartition(':')[0]}:{port}"


def _vault_trust(settings: Settings) -> ssl.SSLContext | bool:
    ca_file = settings.vault.ca_file
    return ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
