"""The whole configuration at one moment, ready to be sent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from envoy_data_plane.google.protobuf import Any

from svc_gateway.rpc.xds.clusters import clusters
from svc_gateway.rpc.xds.filters import authentication
from svc_gateway.rpc.xds.listener import listener
from svc_gateway.rpc.xds.messages import CLUSTER, EXTENSION, LISTENER, ROUTES, SECRET
from svc_gateway.rpc.xds.revocation import RevocationFilter
from svc_gateway.rpc.xds.routes import route_configuration
from svc_gateway.rpc.xds.secrets import secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import betterproto2

    from svc_gateway.domain.edge_state import EdgeState


@dataclass(frozen=True)
class Resource:
    """One packed resource. Equal contents have equal versions, also after a restart."""

    body: Any
    version: str


@dataclass(frozen=True)
class Resources:
    """All resources of one type, by name."""

    by_name: Mapping[str, Resource]

    @cached_property
    def version(self) -> str:
        """Version of the whole set."""
        text = "\n".join(f"{name} {self.by_name[name].version}" for name in sorted(self.by_name))
        return _digest(text.encode())


Snapshot = MappingProxyType[str, Resources]


class SnapshotBuilder:
    """Builds snapshots; what a change does not touch is taken from the one before (a whole one takes 0.3 s)."""

    def __init__(self) -> None:
        self._built: dict[str, tuple[object, Resources]] = {}
        self._revocation = RevocationFilter()

    def build(self, state: EdgeState) -> Snapshot:
        """Every resource of this state."""
        secured = state.trust.authority is not None
        inputs: Mapping[str, tuple[object, Callable[[EdgeState], Resources]]] = {
            CLUSTER: ((state.routes, state.upstreams, secured, state.collector), _clusters),
            LISTENER: (
                (state.host, state.port, state.routes, state.limits, state.access_log, state.collector),
                _listeners,
            ),
            ROUTES: ((state.routes, state.limits, state.cors), _routes),
            EXTENSION: (state.credentials, self._extensions),
            SECRET: ((state.routes, state.trust), _secrets),
        }
        return MappingProxyType({kind: self._once(kind, *given, state) for kind, given in inputs.items()})

    def _once(self, kind: str, given: object, make: Callable[[EdgeState], Resources], state: EdgeState) -> Resources:
        known = self._built.get(kind)
        if known is not None and known[0] == given:
            return known[1]
        resources = make(state)
        self._built[kind] = (given, resources)
        return resources

    def _extensions(self, state: EdgeState) -> Resources:
        found = (authentication(state.credentials), self._revocation.extension(state.credentials.revoked))
        return _packed((extension.name, extension) for extension in found)


def _clusters(state: EdgeState) -> Resources:
    return _packed((cluster.name, cluster) for cluster in clusters(state))


def _listeners(state: EdgeState) -> Resources:
    edge_listener = listener(state)
    return _packed([(edge_listener.name, edge_listener)])


def _routes(state: EdgeState) -> Resources:
    route = route_configuration(state)
    return _packed([(route.name, route)])


def _secrets(state: EdgeState) -> Resources:
    return _packed((secret.name, secret) for secret in secrets(state))


def _packed(named: Iterable[tuple[str, betterproto2.Message]]) -> Resources:
    bodies = {name: Any.pack(message) for name, message in named}
    return Resources(MappingProxyType({name: Resource(body, _digest(body.value)) for name, body in bodies.items()}))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
