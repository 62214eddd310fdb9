"""What the provenance declares of itself."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import AUDIT, DEAD_LETTERS, facts_of

NAME = "provenance"
AUDIT_KEY = "soma-audit"
"""Transit key that signs the anchors of audit chains."""

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_provenance",
    protos=("soma.provenance.v1",),
    consumes=(facts_of("selector"), facts_of("executor"), facts_of("assets"), facts_of("critic"), AUDIT, DEAD_LETTERS),
    grants=MappingProxyType(
        {
            "provenance.read": ("viewer",),
            "trace.read": ("viewer",),
            "audit.read": ("admin",),
            "dead_letter.read": ("admin",),
            "dead_letter.write": ("admin",),
            "receipt.read": ("admin",),
            "retention.read": ("admin",),
            "retention.write": ("admin",),
        }
    ),
    vault=MappingProxyType(
        {
            f"transit/keys/{AUDIT_KEY}": ("read",),
            f"transit/sign/{AUDIT_KEY}": ("update",),
        }
    ),
    signing_keys=(AUDIT_KEY,),
)
