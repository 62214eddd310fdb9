"""Both variants of the discovery protocol, message by message."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from svc_gateway.rpc.xds import messages as x
from svc_gateway.rpc.xds.snapshot import Resource, Resources, Snapshot
from svc_gateway.rpc.xds.streams import DeltaStream, SotwStream

import envoy_data_plane.envoy.service.discovery.v3 as discovery  # isort: skip - after the package that quiets it
from envoy_data_plane.google.protobuf import Any  # isort: skip
from envoy_data_plane.google.rpc import Status  # isort: skip


def snapshot(**clusters: str) -> Snapshot:
    body = Any(type_url=x.CLUSTER)
    kinds = {kind: Resources(MappingProxyType({})) for kind in x.SEND_ORDER}
    found = {name: Resource(body, version) for name, version in clusters.items()}
    return MappingProxyType({**kinds, x.CLUSTER: Resources(MappingProxyType(found)), x.SECRET: Resources(
        MappingProxyType({name: Resource(Any(type_url=x.SECRET), version) for name, version in clusters.items()})
    )})  # fmt: skip


@pytest.fixture
def rejected() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def sotw(rejected: list[tuple[str, str]]) -> SotwStream:
    return SotwStream(lambda kind, reason: rejected.append((kind, reason)))


@pytest.fixture
def delta(rejected: list[tuple[str, str]]) -> DeltaStream:
    return DeltaStream(lambda kind, reason: rejected.append((kind, reason)))


def test_world_sends_all_of_a_wildcard_type_once(sotw: SotwStream) -> None:
    sotw.receive(discovery.DiscoveryRequest(type_url=x.CLUSTER))
    (answer,) = sotw.pending_responses(snapshot(a="1", b="1"))
    assert (len(answer.resources), answer.type_url) == (2, x.CLUSTER)
    assert sotw.pending_responses(snapshot(a="1", b="1")) == []


def test_world_sends_a_change_and_what_is_newly_asked_for(sotw: SotwStream) -> None:
    sotw.receive(discovery.DiscoveryRequest(type_url=x.SECRET, resource_names=["a"]))
    (first,) = sotw.pending_responses(snapshot(a="1", b="1"))
    ask = discovery.DiscoveryRequest(type_url=x.SECRET, resource_names=["a", "b"], response_nonce=first.nonce)
    sotw.receive(ask)
    (second,) = sotw.pending_responses(snapshot(a="1", b="1"))
    (third,) = sotw.pending_responses(snapshot(a="2", b="1"))
    assert [len(answer.resources) for answer in (first, second, third)] == [1, 2, 2]


def test_world_ignores_stale_answers(sotw: SotwStream) -> None:
    sotw.receive(discovery.DiscoveryRequest(type_url=x.SECRET, resource_names=["a"]))
    sotw.pending_responses(snapshot(a="1"))
    sotw.receive(discovery.DiscoveryRequest(type_url=x.SECRET, resource_names=[], response_nonce="older"))
    assert sotw.pending_responses(snapshot(a="1")) == []


def test_rejection_is_told_and_not_sent_again(sotw: SotwStream, rejected: list[tuple[str, str]]) -> None:
    sotw.receive(discovery.DiscoveryRequest(type_url=x.CLUSTER))
    (answer,) = sotw.pending_responses(snapshot(a="1"))
    sotw.receive(
        discovery.DiscoveryRequest(
            type_url=x.CLUSTER, response_nonce=answer.nonce, error_detail=Status(message="bad cluster")
        )
    )
    assert rejected == [(x.CLUSTER, "bad cluster")]
    assert sotw.pending_responses(snapshot(a="1")) == []


def test_clusters_come_before_what_names_them(sotw: SotwStream) -> None:
    for kind in reversed(x.SEND_ORDER):
        sotw.receive(discovery.DiscoveryRequest(type_url=kind, resource_names=["a"]))
    assert [answer.type_url for answer in sotw.pending_responses(snapshot(a="1"))] == list(x.SEND_ORDER)


def test_delta_sends_what_changed_and_what_is_gone(delta: DeltaStream) -> None:
    delta.receive(discovery.DeltaDiscoveryRequest(type_url=x.CLUSTER))
    (first,) = delta.pending_responses(snapshot(a="1", b="1"))
    (second,) = delta.pending_responses(snapshot(a="2"))
    assert [resource.name for resource in first.resources] == ["a", "b"]
    assert ([resource.name for resource in second.resources], second.removed_resources) == (["a"], ["b"])
    assert delta.pending_responses(snapshot(a="2")) == []


def test_delta_spares_a_reconnecting_proxy_what_it_has(delta: DeltaStream) -> None:
    known = {"a": "1", "b": "1", "gone": "1"}
    delta.receive(discovery.DeltaDiscoveryRequest(type_url=x.CLUSTER, initial_resource_versions=known))
    (answer,) = delta.pending_responses(snapshot(a="1", b="2"))
    assert ([resource.name for resource in answer.resources], answer.removed_resources) == (["b"], ["gone"])


def test_delta_tells_once_that_a_name_does_not_exist(delta: DeltaStream) -> None:
    delta.receive(discovery.DeltaDiscoveryRequest(type_url=x.SECRET, resource_names_subscribe=["missing"]))
    (answer,) = delta.pending_responses(snapshot(a="1"))
    assert answer.removed_resources == ["missing"]
    assert delta.pending_responses(snapshot(a="1")) == []
    (later,) = delta.pending_responses(snapshot(a="1", missing="1"))
    assert [resource.name for resource in later.resources] == ["missing"]


def test_delta_follows_subscriptions(delta: DeltaStream) -> None:
    delta.receive(discovery.DeltaDiscoveryRequest(type_url=x.SECRET, resource_names_subscribe=["a"]))
    delta.pending_responses(snapshot(a="1", b="1"))
    delta.receive(
        discovery.DeltaDiscoveryRequest(
            type_url=x.SECRET, resource_names_subscribe=["b"], resource_names_unsubscribe=["a"]
        )
    )
    (answer,) = delta.pending_responses(snapshot(a="2", b="1"))
    assert [resource.name for resource in answer.resources] == ["b"]
