"""Tracing at the edge: it starts or continues a trace for each request, and exports spans to a collector if set."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import envoy_data_plane.envoy.config.cluster.v3 as cl
import envoy_data_plane.envoy.config.common.mutation_rules.v3 as mutation
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.endpoint.v3 as ep
import envoy_data_plane.envoy.config.trace.v3 as tr
import envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 as f_headers
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.extensions.upstreams.http.v3 as upstream
import envoy_data_plane.envoy.type.tracing.v3 as tags
import envoy_data_plane.envoy.type.v3 as kinds
from envoy_data_plane.google.protobuf import Any

from svc_gateway.rpc.xds.messages import TRACE_HEADER, address, header, http_filter, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTOR = "collector"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PORT = 4317
_SERVICE = "edge"
# By default Envoy exports these as the client sent them; a query or a user agent may contain anything.
_WITHOUT_CONTENT = {"http.url": "%PATH(NQ)%", "user_agent": "-", "guid:x-request-id": "-", "peer.address": "-"}


def tracing(collector: str) -> hcm.HttpConnectionManagerTracing | None:
    """Spans for every request of a trace that is recorded; None without a collector."""
    if not collector:
        return None
    service = core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=COLLECTOR), timeout=seconds(10))
    config = tr.OpenTelemetryConfig(grpc_service=service, service_name=_SERVICE)
    provider = tr.TracingHttp(name="envoy.tracers.opentelemetry", typed_config=Any.pack(config))
    always = kinds.Percent(value=100)
    return hcm.HttpConnectionManagerTracing(
        client_sampling=always,
        random_sampling=always,
        overall_sampling=always,
        provider=provider,
        custom_tags=[tags.CustomTag(tag=name, value=value) for name, value in _WITHOUT_CONTENT.items()],
    )


def trace_filters(collector: str) -> Iterator[hcm.HttpFilter]:
    """Yields the filter that sets the trace id header to the tracer's trace id, before other filters read it."""
    if collector:
        trace_id = mutation.HeaderMutation(append=header(TRACE_HEADER, "%TRACE_ID%"))
        config = f_headers.HeaderMutation(mutations=f_headers.Mutations(request_mutations=[trace_id]))
        yield http_filter("envoy.filters.http.header_mutation", config)


def collector_clusters(collector: str) -> Iterator[cl.Cluster]:
    """The cluster of the collector, an `http://` or `https://` address of OTLP over gRPC."""
    if not collector:
        return
    url = urlsplit(collector if "://" in collector else f"http://{collector}")
    host, port = url.hostname or "", url.port or _PORT
    target = ep.LbEndpoint(endpoint=ep.Endpoint(address=address(host, port)))
    http2 = upstream.HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=core.Http2ProtocolOptions())
    yield cl.Cluster(
        name=COLLECTOR,
        type=cl.ClusterDiscoveryType.STRICT_DNS,
        connect_timeout=seconds(2),
        load_assignment=ep.ClusterLoadAssignment(
            cluster_name=COLLECTOR, endpoints=[ep.LocalityLbEndpoints(lb_endpoints=[target])]
        ),
        typed_extension_protocol_options={_HTTP: Any.pack(upstream.HttpProtocolOptions(explicit_http_config=http2))},
        transport_socket=_tls(host) if url.scheme == "https" else None,
    )


def _tls(host: str) -> core.TransportSocket:
    """Verified by the system's authorities, as the services' own exporters do."""
    config = tls.UpstreamTlsContext(
        sni=host,
        auto_sni_san_validation=True,
        common_tls_context=tls.CommonTlsContext(
            validation_context=tls.CertificateValidationContext(
                system_root_certs=tls.CertificateValidationContextSystemRootCerts()
            ),
            alpn_protocols=["h2"],
        ),
    )
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(config))
