"""Which roles may perform which action: what the contexts grant, each for the actions of its own methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2

from mesh.contexts import InvalidContextError, installed
from soma.common.v1 import access_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh.contexts import ContextDeclaration

DESCRIPTORS = Path(__file__).parents[2] / "gen" / "descriptors" / "soma.binpb"
_OURS = "soma."


def required_actions() -> dict[str, dict[str, str]]:
    """The action that each method of the mesh's contracts requires, by protobuf package and full name of the method.

    Public methods, which require none, are left out.
    """
    found: dict[str, dict[str, str]] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        if not file.package.startswith(_OURS):
            continue
        for service in file.service:
            for method in service.method:
                if action := method.options.Extensions[access_pb2.access].action:
                    name = f"{file.package}.{service.name}.{method.name}"
                    found.setdefault(file.package, {})[name] = action
    return found


def declared_grants(
    contexts: Iterable[ContextDeclaration], required: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[str, ...]]:
    """The granted roles by action. What is not in it is granted to nobody.

    Raises InvalidContextError for an action that no method of the granting context requires, and for one that two
    contexts grant: where methods of several contexts require an action, one of them says to whom it is granted.
    """
    grants: dict[str, tuple[str, ...]] = {}
    granted_by: dict[str, str] = {}
    for context in contexts:
        own = {action for package in context.protos for action in required.get(package, {}).values()}
        for action, roles in context.grants.items():
            if action not in own:
                raise InvalidContextError(
                    f"context {context.name} grants {action}, and no method of it requires that: "
                    "a context grants the actions of its own methods alone"
                )
            if action in granted_by:
                raise InvalidContextError(f"action {action} is granted by {granted_by[action]} and by {context.name}")
            granted_by[action], grants[action] = context.name, roles
    return grants


def installed_grants() -> dict[str, tuple[str, ...]]:
    """The granted roles by action, as the installed contexts declare them; InvalidContextError."""
    return declared_grants(installed(), required_actions())
