"""What the notes declare of themselves."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "notes"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.2.0",
    package="svc_notes",
    protos=("soma.notes.v1",),
    publishes=(facts_of(NAME),),
    consumes=(facts_of(NAME),),
    grants=MappingProxyType({"note.read": ("viewer",), "note.write": ("member",)}),
)
