"""The declaration of the registry's context."""

from __future__ import annotations

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
    reports=("providers",),
)
