"""The declaration of the critic."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "critic"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_critic",
    protos=("soma.critic.v1",),
    peers=("assets",),
    publishes=(facts_of(NAME),),
    consumes=(facts_of("assets"),),
    grants=MappingProxyType(
        {
            "evaluation.read": ("viewer",),
            "evaluation.create": ("member",),
            "rubric.read": ("viewer",),
            "rubric.write": ("admin",),
        }
    ),
)
