"""What one proxy's stream wants, has and is owed, in both variants of the protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import envoy_data_plane.envoy.service.discovery.v3 as discovery

from svc_gateway.rpc.xds.messages import ORDER, WILDCARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from svc_gateway.rpc.xds.snapshot import Resources, Snapshot

    Rejected = Callable[[str, str], None]

_EVERYTHING = "*"


@dataclass
class _Subscription:
    """A subscription to one type, and the version that was sent last."""

    names: frozenset[str] = frozenset()
    sent: tuple[str, frozenset[str]] | None = None
    nonce: str = ""


@dataclass
class SotwStream:
    """State of the world: each answer holds all resources of a type that were asked for."""

    rejected: Rejected
    _wanted: dict[str, _Subscription] = field(default_factory=dict)
    _answers: int = 0

    def receive(self, request: discovery.DiscoveryRequest) -> None:
        """Take in a subscription, an acknowledgement or a rejection; stale ones change nothing."""
        wanted = self._wanted.setdefault(request.type_url, _Subscription())
        if request.response_nonce and wanted.nonce and request.response_nonce != wanted.nonce:
            return
        if request.error_detail is not None:
            self.rejected(request.type_url, request.error_detail.message)
        wanted.names = frozenset(request.resource_names)

    def due(self, snapshot: Snapshot) -> list[discovery.DiscoveryResponse]:
        """Every answer that is owed, in the order that keeps references whole."""
        answers = (self._due(kind, snapshot[kind]) for kind in ORDER if kind in self._wanted)
        return [answer for answer in answers if answer is not None]

    def _due(self, kind: str, have: Resources) -> discovery.DiscoveryResponse | None:
        wanted = self._wanted[kind]
        everything = kind in WILDCARD and not wanted.names
        names = frozenset(have.by_name) if everything else wanted.names
        if wanted.sent == (have.version, names):
            return None
        self._answers += 1
        wanted.sent, wanted.nonce = (have.version, names), str(self._answers)
        return discovery.DiscoveryResponse(
            version_info=have.version,
            type_url=kind,
            nonce=wanted.nonce,
            resources=[have.by_name[name].body for name in sorted(names) if name in have.by_name],
        )


@dataclass
class _DeltaSubscription:
    """What a proxy subscribed to of one type, and the version of each resource that it has; empty: it has none."""

    names: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)

    def wanted(self, have: AbstractSet[str]) -> set[str]:
        """Names that it should know about."""
        return self.names - {_EVERYTHING} | (set(have) if _EVERYTHING in self.names else set())


@dataclass
class DeltaStream:
    """Incremental: each answer holds what changed and what is gone."""

    rejected: Rejected
    _known: dict[str, _DeltaSubscription] = field(default_factory=dict)
    _answers: int = 0

    def receive(self, request: discovery.DeltaDiscoveryRequest) -> None:
        """Take in changed subscriptions, an acknowledgement or a rejection."""
        if request.error_detail is not None:
            self.rejected(request.type_url, request.error_detail.message)
        known = self._known.get(request.type_url)
        if known is None:
            known = self._known[request.type_url] = _DeltaSubscription(versions={**request.initial_resource_versions})
            # A first request without names asks for everything.
            known.names = set(request.resource_names_subscribe) or {_EVERYTHING}
        else:
            known.names |= set(request.resource_names_subscribe)
            for name in request.resource_names_subscribe:
                known.versions.pop(name, None)
        for name in request.resource_names_unsubscribe:
            known.names.discard(name)
            known.versions.pop(name, None)

    def due(self, snapshot: Snapshot) -> list[discovery.DeltaDiscoveryResponse]:
        """Every answer that is owed, in the order that keeps references whole."""
        answers = (self._due(kind, snapshot[kind]) for kind in ORDER if kind in self._known)
        return [answer for answer in answers if answer is not None]

    def _due(self, kind: str, have: Resources) -> discovery.DeltaDiscoveryResponse | None:
        known = self._known[kind]
        wanted = known.wanted(have.by_name.keys())
        there = {name: have.by_name[name] for name in wanted if name in have.by_name}
        changed = [name for name, resource in there.items() if known.versions.get(name) != resource.version]
        # Told once, also of names that never existed, so that nobody waits for them.
        absent = {name for name in wanted | known.versions.keys() if name not in there}
        removed = [name for name in absent if known.versions.get(name) != ""]
        if not changed and not removed:
            return None
        known.versions |= {name: there[name].version for name in changed} | dict.fromkeys(removed, "")
        self._answers += 1
        return discovery.DeltaDiscoveryResponse(
            system_version_info=have.version,
            type_url=kind,
            nonce=str(self._answers),
            resources=[
                discovery.Resource(name=name, version=there[name].version, resource=there[name].body)
                for name in sorted(changed)
            ],
            removed_resources=sorted(removed),
        )
