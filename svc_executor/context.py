"""What the executor declares of itself."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "executor"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_executor",
    protos=("soma.executor.v1",),
    peers=("registry", "selector", "assets", "critic"),
    publishes=(facts_of(NAME),),
    consumes=(facts_of("assets"),),
    grants=MappingProxyType(
        {
            "plan.validate": ("viewer",),
            "job.read": ("viewer",),
            "job.create": ("member",),
            "job.cancel": ("member",),
        }
    ),
    vault=MappingProxyType(
        {
            "secret/data/tenants/*": ("read",),
        }
    ),
)
