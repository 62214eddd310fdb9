"""The declaration of the selector's context."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "selector"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_selector",
    protos=("soma.selector.v1",),
    peers=("registry",),
    publishes=(facts_of(NAME),),
    grants=MappingProxyType(
        {
            "selection.read": ("viewer",),
            "selection.create": ("member",),
            "budget.read": ("viewer",),
            "budget.write": ("admin",),
            "budget.settle": ("service",),
        }
    ),
)
