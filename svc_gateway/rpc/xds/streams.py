"""The state of one proxy's stream: its subscriptions and what it was sent, in both variants of the protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import envoy_data_plane.envoy.service.discovery.v3 as discovery

from svc_gateway.rpc.xds.messages import SEND_ORDER, WILDCARD

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from svc_gateway.rpc.xds.snapshot import Resources, Snapshot

    OnRejected = Callable[[str, str], None]

_WILDCARD_NAME = "*"


@dataclass
class _Subscription:
    """A subscription to one type, and the version that was sent last."""

    names: frozenset[str] = frozenset()
    sent: tuple[str, frozenset[str]] | None = None
    nonce: str = ""


@dataclass
class SotwStream:
    """State of the world: each response has all subscribed resources of a type."""

    on_rejected: OnRejected
    _subscriptions: dict[str, _Subscription] = field(default_factory=dict)
    _responses_sent: int = 0

    def receive(self, request: discovery.DiscoveryRequest) -> None:
        """Handles a subscription, an ACK or a NACK; stale ones change nothing."""
        subscription = self._subscriptions.setdefault(request.type_url, _Subscription())
        if request.response_nonce and subscription.nonce and request.response_nonce != subscription.nonce:
            return
        if request.error_detail is not None:
            self.on_rejected(request.type_url, request.error_detail.message)
        subscription.names = frozenset(request.resource_names)

    def pending_responses(self, snapshot: Snapshot) -> list[discovery.DiscoveryResponse]:
        """Returns the responses to send now, in an order in which references resolve."""
        responses = (self._response(kind, snapshot[kind]) for kind in SEND_ORDER if kind in self._subscriptions)
        return [response for response in responses if response is not None]

    def _response(self, kind: str, available: Resources) -> discovery.DiscoveryResponse | None:
        subscription = self._subscriptions[kind]
        wildcard = kind in WILDCARD and not subscription.names
        names = frozenset(available.by_name) if wildcard else subscription.names
        if subscription.sent == (available.version, names):
            return None
        self._responses_sent += 1
        subscription.sent, subscription.nonce = (available.version, names), str(self._responses_sent)
        return discovery.DiscoveryResponse(
            version_info=available.version,
            type_url=kind,
            nonce=subscription.nonce,
            resources=[available.by_name[name].body for name in sorted(names) if name in available.by_name],
        )


@dataclass
class _DeltaSubscription:
    """A subscription to one type, and the version that was sent of each resource; empty: sent as removed."""

    names: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)

    def subscribed(self, available: AbstractSet[str]) -> set[str]:
        """Returns the names that it covers."""
        return self.names - {_WILDCARD_NAME} | (set(available) if _WILDCARD_NAME in self.names else set())


@dataclass
class DeltaStream:
    """Incremental: each response has the changed and the removed resources."""

    on_rejected: OnRejected
    _subscriptions: dict[str, _DeltaSubscription] = field(default_factory=dict)
    _responses_sent: int = 0

    def receive(self, request: discovery.DeltaDiscoveryRequest) -> None:
        """Handles changed subscriptions, an ACK or a NACK."""
        if request.error_detail is not None:
            self.on_rejected(request.type_url, request.error_detail.message)
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = self._subscriptions[request.type_url] = _DeltaSubscription(
                versions={**request.initial_resource_versions}
            )
            # A first request without names subscribes to all resources.
            subscription.names = set(request.resource_names_subscribe) or {_WILDCARD_NAME}
        else:
            subscription.names |= set(request.resource_names_subscribe)
            for name in request.resource_names_subscribe:
                subscription.versions.pop(name, None)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.versions.pop(name, None)

    def pending_responses(self, snapshot: Snapshot) -> list[discovery.DeltaDiscoveryResponse]:
        """Returns the responses to send now, in an order in which references resolve."""
        responses = (self._response(kind, snapshot[kind]) for kind in SEND_ORDER if kind in self._subscriptions)
        return [response for response in responses if response is not None]

    def _response(self, kind: str, available: Resources) -> discovery.DeltaDiscoveryResponse | None:
        subscription = self._subscriptions[kind]
        subscribed = subscription.subscribed(available.by_name.keys())
        found = {name: available.by_name[name] for name in subscribed if name in available.by_name}
        changed = [name for name, resource in found.items() if subscription.versions.get(name) != resource.version]
        # Sent once, also for names that never existed, so that no proxy waits for them.
        absent = {name for name in subscribed | subscription.versions.keys() if name not in found}
        removed = [name for name in absent if subscription.versions.get(name) != ""]
        if not changed and not removed:
            return None
        subscription.versions |= {name: found[name].version for name in changed} | dict.fromkeys(removed, "")
        self._responses_sent += 1
        return discovery.DeltaDiscoveryResponse(
            system_version_info=available.version,
            type_url=kind,
            nonce=str(self._responses_sent),
            resources=[
                discovery.Resource(name=name, version=found[name].version, resource=found[name].body)
                for name in sorted(changed)
            ],
            removed_resources=sorted(removed),
        )
