"""The declaration of the asset store."""

from __future__ import annotations

from types import MappingProxyType

from mesh.contexts import ContextDeclaration
from mesh.events.topics import facts_of

NAME = "assets"

CONTEXT = ContextDeclaration(
    name=NAME,
    version="0.1.0",
    package="svc_assets",
    protos=("soma.assets.v1",),
    publishes=(facts_of(NAME),),
    grants=MappingProxyType(
        {
            "asset.read": ("viewer",),
            "asset.create": ("member",),
            "asset.delete": ("member",),
            "asset.erase": ("admin",),
        }
    ),
    vault=MappingProxyType(
        {
            "transit/keys/assets-*": ("create", "read", "update"),
            "transit/datakey/plaintext/assets-*": ("update",),
            "transit/encrypt/assets-*": ("update",),
            "transit/decrypt/assets-*": ("update",),
        }
    ),
    reports=("blobs",),
)
