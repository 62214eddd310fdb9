"""The wiring of the gateway."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.chassis import chassis
from mesh.lifecycle import background
from mesh.settings import load
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
from svc_gateway.adapters.descriptors import Descriptors
from svc_gateway.adapters.postgres.retention import RETENTION_RULES
from svc_gateway.bootstrap.edge import edge_sources, serve_edge
from svc_gateway.bootstrap.health import health_monitor
from svc_gateway.bootstrap.identity import identity_use_cases
from svc_gateway.context import CONTEXT, NAME
from svc_gateway.rpc.api_key_service import ApiKeyServicer
from svc_gateway.rpc.api_service import ApiServicer
from svc_gateway.rpc.degradation_service import DegradationServicer
from svc_gateway.rpc.permission_service import PermissionServicer
from svc_gateway.rpc.tenant_service import TenantServicer
from svc_gateway.rpc.token_service import TokenServicer
from svc_gateway.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.lifecycle import Service

OPENAPI = Path(__file__).parent.parent.parent / "gen" / "openapi" / "openapi.json"


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the gateway and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        descriptors = Descriptors.read()
        descriptors.load_generated()
        routes = descriptors.route_table()
        identity = await identity_use_cases(mesh, settings)
        monitor = await health_monitor(mesh, settings, routes)
        sources = await edge_sources(mesh, settings)
        api_keys = ApiKeyServicer(identity.keys, identity.revoked, identity.existing, identity.signer, identity.tenants)
        degradation = DegradationServicer(monitor, metadata.version("somamesh"), mesh.heartbeats)
        service = await mesh.serve(
            [
                (add_TokenServiceServicer_to_server, TokenServicer(identity.tokens)),
                (add_ApiKeyServiceServicer_to_server, api_keys),
                (add_TenantServiceServicer_to_server, TenantServicer(identity.tenants)),
                (add_PermissionServiceServicer_to_server, PermissionServicer(identity.permissions)),
                (add_DegradationServiceServicer_to_server, degradation),
                (add_ApiServiceServicer_to_server, ApiServicer(OPENAPI.read_bytes(), sources.jwks)),
            ]
        )
        await mesh.enter(background(monitor.run, "monitor"))
        await mesh.apply_retention(RETENTION_RULES, settings.gateway.request_ids_days)
        await serve_edge(
            mesh,
            settings,
            descriptors=descriptors,
            sources=sources,
            revoked=identity.revoked,
            monitor=monitor,
            own_address=service.address,
        )
        yield service
