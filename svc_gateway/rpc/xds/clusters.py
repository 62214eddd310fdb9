"""Clusters: one for each context, health-checked, verified by name, with bounded load and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.cluster.v3 as cl
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as ep
import envoy_data_plane.envoy.extensions.clusters.dns.v3 as dns
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.extensions.upstreams.http.v3 as upstream
import envoy_data_plane.envoy.type.v3 as kinds
from envoy_data_plane.google.protobuf import Any

from mesh.rpc.targets import endpoints
from svc_gateway.rpc.xds.messages import EDGE_SECRET, address, from_ads, seconds, split_host_port
from svc_gateway.rpc.xds.tracing import collector_clusters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_gateway.domain.edge_state import EdgeState

CONTROL = "control"
_GATEWAY = "gateway"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MAX_CONNECTIONS = 1_000
_MAX_REQUESTS = 4_096
# Open to callers without a credential, and never used by many at once.
_MAX_CONTROL_REQUESTS = 256
_RETRY_PERCENT = 20.0
_WINDOW_BYTES = 1 << 20


def clusters(state: EdgeState) -> Iterator[cl.Cluster]:
    """The clusters of the contexts, and of the gateway's own server for the whole mesh."""
    mutual_tls = state.tls.ca is not None
    yield _cluster(CONTROL, state.control, _GATEWAY if mutual_tls else None)
    for context in state.routes.contexts:
        yield _cluster(context, state.upstreams.get(context), context if mutual_tls else None)
    yield from collector_clusters(state.collector)


def peer_secret(context: str) -> str:
    """Name of the secret that verifies a context's servers."""
    return f"peer.{context}"


def _cluster(name: str, endpoint: str | None, identity: str | None) -> cl.Cluster:
    """Every address that the endpoint's name resolves to; `identity` is the context whose certificate is expected."""
    return cl.Cluster(
        name=name,
        cluster_type=_dns_cluster(),
        lb_policy=cl.ClusterLbPolicy.LEAST_REQUEST,
        connect_timeout=seconds(2),
        load_assignment=_endpoints(name, endpoint),
        typed_extension_protocol_options={_HTTP: Any.pack(_http2())},
        health_checks=[_health_check(name)],
        outlier_detection=_outlier_detection(),
        circuit_breakers=_circuit_breakers(_MAX_CONTROL_REQUESTS if name == CONTROL else _MAX_REQUESTS),
        # Ejection must take effect at once, not merged into batches of a second.
        common_lb_config=cl.ClusterCommonLbConfig(
            update_merge_window=seconds(0), healthy_panic_threshold=kinds.Percent(value=34)
        ),
        transport_socket=None if identity is None else _mutual_tls(identity),
    )


def _dns_cluster() -> cl.ClusterCustomClusterType:
    """Resolves names periodically, so that replicas may come and go; IP addresses stay as they are."""
    config = dns.DnsCluster(
        dns_refresh_rate=seconds(2),
        dns_failure_refresh_rate=dns.DnsClusterRefreshRate(base_interval=seconds(0.5), max_interval=seconds(2)),
    )
    return cl.ClusterCustomClusterType(name="envoy.clusters.dns", typed_config=Any.pack(config))


def _endpoints(name: str, endpoint: str | None) -> ep.ClusterLoadAssignment:
    if endpoint is None:
        return ep.ClusterLoadAssignment(cluster_name=name)
    targets = [
        ep.LbEndpoint(endpoint=ep.Endpoint(address=address(*split_host_port(host_port))))
        for host_port in endpoints(endpoint)
    ]
    return ep.ClusterLoadAssignment(cluster_name=name, endpoints=[ep.LocalityLbEndpoints(lb_endpoints=targets)])


def _http2() -> upstream.HttpProtocolOptions:
    options = core.Http2ProtocolOptions(
        initial_stream_window_size=_WINDOW_BYTES,
        initial_connection_window_size=_WINDOW_BYTES * 4,
        connection_keepalive=core.KeepaliveSettings(interval=seconds(30), timeout=seconds(10)),
    )
    return upstream.HttpProtocolOptions(
        explicit_http_config=upstream.HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=options)
    )


def _health_check(context: str) -> core.HealthCheck:
    """Two failures in a row eject, two successes readmit; a new server needs one."""
    return core.HealthCheck(
        timeout=seconds(1),
        interval=seconds(1),
        no_traffic_interval=seconds(1),
        unhealthy_interval=seconds(0.5),
        unhealthy_edge_interval=seconds(0.5),
        unhealthy_threshold=2,
        healthy_threshold=2,
        grpc_health_check=core.HealthCheckGrpcHealthCheck(authority=context),
    )


def _outlier_detection() -> cl.OutlierDetection:
    """Ejects a server that keeps failing while others do not; never more than half of them."""
    return cl.OutlierDetection(
        enforcing_consecutive_5xx=0,
        enforcing_success_rate=0,
        consecutive_gateway_failure=5,
        enforcing_consecutive_gateway_failure=100,
        interval=seconds(1),
        base_ejection_time=seconds(5),
        max_ejection_time=seconds(60),
        max_ejection_percent=50,
        successful_active_health_check_uneject_host=False,
    )


def _circuit_breakers(requests: int) -> cl.CircuitBreakers:
    budget = cl.CircuitBreakersThresholdsRetryBudget(
        budget_percent=kinds.Percent(value=_RETRY_PERCENT), min_retry_concurrency=3
    )
    return cl.CircuitBreakers(
        thresholds=[
            cl.CircuitBreakersThresholds(
                max_connections=_MAX_CONNECTIONS,
                max_pending_requests=requests,
                max_requests=requests,
                retry_budget=budget,
                track_remaining=True,
            )
        ]
    )


def _mutual_tls(context: str) -> core.TransportSocket:
    only_1_3 = tls.TlsParametersTlsProtocol.TLSv1_3
    config = tls.UpstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(
            tls_params=tls.TlsParameters(tls_minimum_protocol_version=only_1_3, tls_maximum_protocol_version=only_1_3),
            tls_certificate_sds_secret_configs=[tls.SdsSecretConfig(name=EDGE_SECRET, sds_config=from_ads())],
            validation_context_sds_secret_config=tls.SdsSecretConfig(name=peer_secret(context), sds_config=from_ads()),
            alpn_protocols=["h2"],
        ),
    )
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(config))
