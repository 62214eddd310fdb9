"""What the gateway declares of itself."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration

NAME = "gateway"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_gateway",
    protos=("soma.gateway.v1",),
    grants=MappingProxyType(
        {
            "health.read": ("viewer", "service"),
            "permission.read": ("viewer",),
            "token.create": ("viewer",),
            "api_key.read": ("admin",),
            "api_key.write": ("admin",),
            "api_key.watch": ("service",),
            "revocation.watch": ("service",),
            "tenant.read": ("viewer", "service"),
            "tenant.write": ("platform_admin",),
        }
    ),
    vault=MappingProxyType(
        {
            "secret/data/tenants/*": ("create", "read", "update", "delete"),
            "secret/metadata/tenants/*": ("read", "list", "delete"),
        }
    ),
    ports=("xds",),
)
