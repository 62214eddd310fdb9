"""The resources that the control plane builds from the edge's state."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf import descriptor_pb2

from mesh.errors import STATUS_MAPPINGS
from svc_gateway.adapters.descriptors import Descriptors
from svc_gateway.domain.edge_state import Cors, CredentialVerification, EdgeState, EdgeTls, Limits, TlsCertificate
from svc_gateway.rpc.xds import SnapshotBuilder
from svc_gateway.rpc.xds import messages as x
from svc_gateway.rpc.xds.replies import REPLIES, lua_script
from svc_gateway.rpc.xds.revocation import RevocationFilter

import envoy_data_plane.envoy.config.cluster.v3 as cl  # isort: skip - after the package that quiets its import
import envoy_data_plane.envoy.config.route.v3 as ro  # isort: skip
import envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 as f_jwt  # isort: skip
import envoy_data_plane.envoy.extensions.filters.http.rbac.v3 as f_rbac  # isort: skip
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls  # isort: skip
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svc_gateway.rpc.xds.snapshot import Snapshot


@pytest.fixture(scope="module")
def state() -> EdgeState:
    descriptors = Descriptors.read()
    return EdgeState(
        host="127.0.0.1",
        port=8010,
        routes=descriptors.route_table(),
        descriptors=descriptors.transcoding_set(),
        upstreams={"registry": "registry.local:9000"},
        control="127.0.0.1:9001",
        tls=EdgeTls(TlsCertificate(b"chain", b"PRIVATE"), b"authority"),
        credentials=CredentialVerification("soma", "soma", "test", json.dumps({"keys": []})),
        limits=Limits(100, 10, 5, 1_000, 2_000, 30, 60),
    )


@pytest.fixture(scope="module")
def snapshot(state: EdgeState) -> Snapshot:
    return SnapshotBuilder().build(state)


def routes(snapshot: Snapshot) -> list[ro.Route]:
    body = snapshot[x.ROUTES].by_name[x.ROUTES_NAME].body
    return list(ro.RouteConfiguration.parse(body.value).virtual_hosts[0].routes)


def forwards(snapshot: Snapshot, name: str) -> list[ro.Route]:
    return [route for route in routes(snapshot) if route.name == name]


def test_each_context_is_a_cluster_known_by_its_certificate(state: EdgeState, snapshot: Snapshot) -> None:
    assert set(snapshot[x.CLUSTER].by_name) == {*state.routes.contexts, "control"}
    secret = tls.Secret.parse(snapshot[x.SECRET].by_name["peer.registry"].body.value)
    assert secret.validation_context is not None
    (name,) = secret.validation_context.match_typed_subject_alt_names
    assert name.matcher is not None
    assert name.matcher.exact == "spiffe://soma/registry"


def test_context_that_is_not_deployed_has_no_endpoint(snapshot: Snapshot) -> None:
    there, absent = (
        cl.Cluster.parse(snapshot[x.CLUSTER].by_name[name].body.value) for name in ("registry", "selector")
    )
    assert there.load_assignment is not None
    assert absent.load_assignment is not None
    assert (len(there.load_assignment.endpoints), len(absent.load_assignment.endpoints)) == (1, 0)


def test_each_address_of_a_context_is_an_endpoint(state: EdgeState) -> None:
    several = replace(state, upstreams={"registry": "ipv4:10.0.0.1:9000,10.0.0.2:9001"})
    cluster = cl.Cluster.parse(SnapshotBuilder().build(several)[x.CLUSTER].by_name["registry"].body.value)
    assert cluster.load_assignment is not None
    targets = [target.endpoint for target in cluster.load_assignment.endpoints[0].lb_endpoints]
    addresses = [
        target.address.socket_address for target in targets if target is not None and target.address is not None
    ]
    assert [(it.address, it.port_value) for it in addresses if it is not None] == [
        ("10.0.0.1", 9000),
        ("10.0.0.2", 9001),
    ]


def test_without_an_authority_services_are_called_in_plaintext(state: EdgeState) -> None:
    plain = SnapshotBuilder().build(replace(state, tls=replace(state.tls, ca=None)))
    assert cl.Cluster.parse(plain[x.CLUSTER].by_name["registry"].body.value).transport_socket is None
    assert set(plain[x.SECRET].by_name) == {"edge"}


def test_every_method_has_a_grpc_route(state: EdgeState, snapshot: Snapshot) -> None:
    paths = {route.match.path for route in routes(snapshot) if route.match is not None and route.route is not None}
    assert "/soma.executor.v1.JobService/SubmitJob" in paths
    assert {method.path for method in state.routes.methods} <= paths


def test_public_methods_may_come_without_a_credential(snapshot: Snapshot) -> None:
    def requirement(name: str) -> set[str]:
        found = (route.typed_per_filter_config[x.JWT_FILTER] for route in forwards(snapshot, name))
        return {f_jwt.PerRouteConfig.parse(config.value).requirement_name or "" for config in found}

    assert requirement("soma.gateway.v1.DegradationService/GetStatus") == {"optional"}
    assert requirement("soma.executor.v1.JobService/GetJob") == {"required"}


def test_head_is_forwarded_as_get_is_except_of_streams(snapshot: Snapshot) -> None:
    def by_verb(name: str) -> dict[str, ro.Route]:
        found = ((route, header) for route in forwards(snapshot, name) if route.match for header in route.match.headers)
        return {header.string_match.exact or "": route for route, header in found if header.string_match}

    one = by_verb("soma.executor.v1.JobService/GetJob")
    assert set(one) == {"GET", "HEAD"}
    assert one["HEAD"].route == one["GET"].route
    assert one["HEAD"].typed_per_filter_config == one["GET"].typed_per_filter_config
    assert set(by_verb("soma.executor.v1.JobService/WatchJob")) == {"GET"}


def test_only_streams_have_no_time_limit(snapshot: Snapshot) -> None:
    def limits(name: str) -> set[float]:
        actions = (route.route for route in forwards(snapshot, name))
        return {
            action.timeout.total_seconds() for action in actions if action is not None and action.timeout is not None
        }

    assert limits("soma.executor.v1.JobService/WatchJob") == {0.0}
    assert limits("soma.executor.v1.JobService/GetJob") == {30.0}


def test_streams_that_are_open_to_everybody_end(snapshot: Snapshot) -> None:
    for name in ("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"):
        (route,) = forwards(snapshot, name)
        assert route.route is not None
        assert route.route.idle_timeout == timedelta(minutes=5)
        assert route.route.max_stream_duration is not None
        assert route.route.max_stream_duration.max_stream_duration == timedelta(minutes=10)


def test_what_is_open_to_everybody_takes_few_requests_at_once(snapshot: Snapshot) -> None:
    def most(name: str) -> int | None:
        cluster = cl.Cluster.parse(snapshot[x.CLUSTER].by_name[name].body.value)
        assert cluster.circuit_breakers is not None
        return cluster.circuit_breakers.thresholds[0].max_requests

    assert (most("control"), most("registry")) == (256, 4_096)


def test_reads_are_retried_when_their_server_is_lost_and_all_else_only_when_it_reached_nobody(
    snapshot: Snapshot,
) -> None:
    nobody, lost = "connect-failure,refused-stream", "connect-failure,refused-stream,reset"
    retried = {
        route.name: route.route.retry_policy.retry_on
        for route in routes(snapshot)
        if route.route is not None and route.route.retry_policy is not None
    }
    assert set(retried.values()) == {nobody, lost}
    assert retried["soma.gateway.v1.ApiKeyService/ListApiKeys"] == lost
    assert retried["soma.gateway.v1.ApiKeyService/CreateApiKey"] == nobody
    assert retried["soma.gateway.v1.ApiKeyService/RevokeApiKey"] == nobody
    assert retried["soma.executor.v1.JobService/WatchJob"] == nobody


def test_a_retry_goes_to_another_replica(snapshot: Snapshot) -> None:
    predicates = [
        {predicate.name for predicate in route.route.retry_policy.retry_host_predicate}
        for route in routes(snapshot)
        if route.route is not None and route.route.retry_policy is not None
    ]
    assert predicates
    assert all(names == {"envoy.retry_host_predicates.previous_hosts"} for names in predicates)


def test_last_route_refuses_what_nobody_serves(snapshot: Snapshot) -> None:
    last = routes(snapshot)[-1]
    assert last.match is not None
    assert last.direct_response is not None
    assert (last.match.prefix, last.direct_response.status) == ("/", 404)


def test_a_body_of_the_wrong_kind_is_read_before_it_is_refused(snapshot: Snapshot) -> None:
    refusals = [route for route in routes(snapshot) if route.direct_response and route.direct_response.status == 415]
    assert refusals
    assert all(x.BUFFER_FILTER in route.typed_per_filter_config for route in refusals)


def test_revocation_is_an_exact_lookup_of_key_ids() -> None:
    ids = frozenset(f"0189{number:032d}" for number in range(300))
    config = RevocationFilter().extension(ids).typed_config
    assert config is not None
    rules = f_rbac.Rbac.parse(config.value)
    assert bytes(rules) == config.value
    assert rules.matcher is not None
    assert rules.matcher.matcher_tree is not None
    assert rules.matcher.matcher_tree.exact_match_map is not None
    assert set(rules.matcher.matcher_tree.exact_match_map.map) == ids


def test_a_filter_that_follows_changes_is_the_one_made_anew() -> None:
    filter_, ids = RevocationFilter(), [f"key-{number * 7 % 100}" for number in range(100)]
    for kept in (ids[:50], ids[20:], [], ids[5:6]):
        assert filter_.extension(frozenset(kept)) == RevocationFilter().extension(frozenset(sorted(kept)))


def test_nothing_revoked_is_a_filter_without_rules() -> None:
    config = RevocationFilter().extension(frozenset()).typed_config
    assert config is not None
    assert config.value == b""


def test_change_of_credentials_leaves_everything_else_as_it_was(state: EdgeState) -> None:
    builder = SnapshotBuilder()
    before = builder.build(state)
    after = builder.build(replace(state, credentials=replace(state.credentials, revoked=frozenset({"a"}))))
    assert {kind for kind in after if after[kind].version != before[kind].version} == {x.EXTENSION}


def test_change_of_origins_is_a_change_of_routes_alone(state: EdgeState) -> None:
    builder = SnapshotBuilder()
    before = builder.build(state)
    after = builder.build(replace(state, cors=Cors(("https://a.example",))))
    assert {kind for kind in after if after[kind].version != before[kind].version} == {x.ROUTES}


def test_versions_are_the_same_after_a_restart(state: EdgeState, snapshot: Snapshot) -> None:
    again = SnapshotBuilder().build(state)
    assert {kind: again[kind].version for kind in again} == {kind: snapshot[kind].version for kind in snapshot}


def test_private_key_travels_as_a_secret_only(snapshot: Snapshot) -> None:
    others = [resource for kind in snapshot if kind != x.SECRET for resource in snapshot[kind].by_name.values()]
    assert any(b"registry.local" in resource.body.value for resource in others)
    assert not any(b"PRIVATE" in resource.body.value for resource in others)
    assert b"PRIVATE" in snapshot[x.SECRET].by_name["edge"].body.value
    assert "PRIVATE" not in repr(TlsCertificate(b"chain", b"PRIVATE"))


def test_each_refusal_of_the_edge_has_a_reason_of_the_table() -> None:
    assert len(REPLIES) > 5
    assert {reply.reason for reply in REPLIES} <= set(STATUS_MAPPINGS)
    assert all(400 <= reply.status < 600 for reply in REPLIES)


def test_script_knows_the_statuses_that_codes_cannot_tell() -> None:
    assert "PAYLOAD_TOO_LARGE = 413" in lua_script()
    assert "UNSUPPORTED_MEDIA_TYPE = 415" in lua_script()
    assert "METHOD_NOT_ALLOWED = 405" in lua_script()
    assert "NOT_FOUND = 404" not in lua_script()
    assert "@" not in lua_script()


def test_descriptors_of_the_transcoder_can_be_read(state: EdgeState) -> None:
    assert descriptor_pb2.FileDescriptorSet.FromString(state.descriptors).file
