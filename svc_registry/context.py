"""The declaration of the registry's context."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "registry"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_registry",
    protos=("soma.registry.v1",),
    peers=("selector",),
    publishes=(facts_of(NAME),),
    grants=MappingProxyType(
        {
            "capability.read": ("viewer", "service"),
            "capability.write": ("admin", "service"),
            "capability.report_health": ("service",),
            "capability.watch": ("service",),
            "ladder.read": ("viewer", "service"),
            "ladder.write": ("admin",),
        }
    ),
    reports=("providers",),
)
