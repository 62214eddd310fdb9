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
    vault=MappingProxyType(
        {
            "secret/data/tenants/*": ("create", "read", "update", "delete"),
            "secret/metadata/tenants/*": ("read", "list", "delete"),
        }
    ),
    ports=("xds",),
)
