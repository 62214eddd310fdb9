"""The listener: TLS 1.3, HTTP/2 and HTTP/1.1, removal of internal headers, an access log line per request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.accesslog.v3 as al
import envoy_data_plane.envoy.config.common.mutation_rules.v3 as mutation
import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.listener.v3 as li
import envoy_data_plane.envoy.extensions.access_loggers.file.v3 as file_log
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 as early
import envoy_data_plane.envoy.extensions.request_id.uuid.v3 as request_id
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.type.matcher.v3 as matcher
from envoy_data_plane.google.protobuf import Any, Struct

from svc_gateway.rpc.xds.filters import http_filters
from svc_gateway.rpc.xds.messages import (
    CLAIMS,
    EDGE_SECRET,
    JWT_FILTER,
    ROUTES_NAME,
    TRACE_HEADER,
    address,
    from_ads,
    header,
    seconds,
)
from svc_gateway.rpc.xds.replies import local_replies
from svc_gateway.rpc.xds.tracing import tracing

if TYPE_CHECKING:
    from svc_gateway.domain.edge_state import EdgeState

LISTENER_NAME = "edge"
_MAX_STREAMS = 256
_HANDSHAKE_TIMEOUT_S = 10.0
_WINDOW_BYTES = 1 << 20
_MAX_HEADERS_KB = 32
_MAX_HEADERS = 100
# Clients may neither set the caller's identity nor control the proxy.
_REMOVED_PREFIXES = ("x-soma-", "x-envoy-")
_REMOVED_HEADERS = (
    "x-tenant", "x-tenant-id", "x-subject", "x-user", "x-user-id", "x-role", "x-roles", "x-scopes", "x-actor",
    "x-internal-token", "x-forwarded-client-cert", "x-original-url", "x-rewrite-url",
)  # fmt: skip


def listener(state: EdgeState) -> li.Listener:
    """The edge's listener."""
    chain = li.FilterChain(
        filters=[li.Filter(name="envoy.filters.network.http_connection_manager", typed_config=Any.pack(_http(state)))],
        transport_socket=_tls(),
        transport_socket_connect_timeout=seconds(_HANDSHAKE_TIMEOUT_S),
    )
    return li.Listener(
        name=LISTENER_NAME,
        address=address(state.host, state.port),
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=_WINDOW_BYTES,
    )


def _tls() -> core.TransportSocket:
    only_1_3 = tls.TlsParametersTlsProtocol.TLSv1_3
    config = tls.DownstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(
            tls_params=tls.TlsParameters(tls_minimum_protocol_version=only_1_3, tls_maximum_protocol_version=only_1_3),
            tls_certificate_sds_secret_configs=[tls.SdsSecretConfig(name=EDGE_SECRET, sds_config=from_ads())],
            alpn_protocols=["h2", "http/1.1"],
        )
    )
    return core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(config))


def _http(state: EdgeState) -> hcm.HttpConnectionManager:
    return hcm.HttpConnectionManager(
        stat_prefix=LISTENER_NAME,
        codec_type=hcm.HttpConnectionManagerCodecType.AUTO,
        rds=hcm.Rds(config_source=from_ads(), route_config_name=ROUTES_NAME),
        http_filters=http_filters(state),
        local_reply_config=local_replies(),
        tracing=tracing(state.collector),
        access_log=[_access_log(state.access_log)],
        early_header_mutation_extensions=[_early_header_mutation()],
        server_name="soma",
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=hcm.HttpConnectionManagerPathWithEscapedSlashesAction.KEEP_UNCHANGED,
        request_id_extension=_request_ids(),
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        stream_idle_timeout=seconds(300),
        request_headers_timeout=seconds(15),
        drain_timeout=seconds(20),
        max_request_headers_kb=_MAX_HEADERS_KB,
        common_http_protocol_options=core.HttpProtocolOptions(
            idle_timeout=seconds(600), max_headers_count=_MAX_HEADERS
        ),
        http2_protocol_options=core.Http2ProtocolOptions(
            max_concurrent_streams=_MAX_STREAMS,
            initial_stream_window_size=_WINDOW_BYTES,
            initial_connection_window_size=_WINDOW_BYTES * 4,
            connection_keepalive=core.KeepaliveSettings(interval=seconds(30), timeout=seconds(10)),
        ),
    )


def _request_ids() -> hcm.RequestIdExtension:
    """Request ids pass through unchanged."""
    config = request_id.UuidRequestIdConfig(pack_trace_reason=False, use_request_id_for_trace_sampling=False)
    return hcm.RequestIdExtension(typed_config=Any.pack(config))


def _early_header_mutation() -> core.TypedExtensionConfig:
    """Removes headers that only the mesh may set, and sets a trace id for requests without one."""
    by_name = [mutation.HeaderMutation(remove=name) for name in _REMOVED_HEADERS]
    by_prefix = [
        mutation.HeaderMutation(
            remove_on_match=mutation.HeaderMutationRemoveOnMatch(key_matcher=matcher.StringMatcher(prefix=prefix))
        )
        for prefix in _REMOVED_PREFIXES
    ]
    trace_id = mutation.HeaderMutation(append=header(TRACE_HEADER, "%UNIQUE_ID%"))
    return core.TypedExtensionConfig(
        name="strip", typed_config=Any.pack(early.HeaderMutation(mutations=[*by_name, *by_prefix, trace_id]))
    )


def _access_log(path: str) -> al.AccessLog:
    claim = f"%DYNAMIC_METADATA({JWT_FILTER}:{CLAIMS}:"
    fields = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "event": "edge_request",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
        "duration_ms": "%DURATION%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "route": "%ROUTE_NAME%",
        "upstream": "%UPSTREAM_CLUSTER%",
        "tenant": f"{claim}tenant)%",
        "key_id": f"{claim}jti)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "trace_id": f"%REQ({TRACE_HEADER})%",
    }
    log = file_log.FileAccessLog(
        path=path, log_format=core.SubstitutionFormatString(json_format=Struct.from_dict(fields))
    )
    return al.AccessLog(name="envoy.access_loggers.file", typed_config=Any.pack(log))
