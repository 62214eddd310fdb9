"""Names and small messages that the resources share."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
from envoy_data_plane.google.protobuf import Any

if TYPE_CHECKING:
    import betterproto2

_CONFIG = "type.googleapis.com/envoy.config."
CLUSTER = f"{_CONFIG}cluster.v3.Cluster"
LISTENER = f"{_CONFIG}listener.v3.Listener"
ROUTES = f"{_CONFIG}route.v3.RouteConfiguration"
EXTENSION = f"{_CONFIG}core.v3.TypedExtensionConfig"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name

# Resources must exist before later ones refer to them.
SEND_ORDER = (CLUSTER, LISTENER, ROUTES, EXTENSION, SECRET)
# Types to which a proxy may subscribe by wildcard.
WILDCARD = frozenset({CLUSTER, LISTENER})

JWT_FILTER = "envoy.filters.http.jwt_authn"
BUFFER_FILTER = "envoy.filters.http.buffer"
RBAC_FILTER = "envoy.filters.http.rbac"
CORS_FILTER = "envoy.filters.http.cors"
TRANSCODER_FILTER = "envoy.filters.http.grpc_json_transcoder"
CLAIMS = "claims"
ROUTES_NAME = "edge"
# Set by the edge alone: the trace id of the request, 32 hexadecimal digits.
TRACE_HEADER = "x-soma-trace-id"
# Set by verification alone: the id of the key behind the credential.
KEY_HEADER = "x-soma-key-id"
EDGE_SECRET = "edge"  # noqa: S105 - a resource's name


def from_ads() -> core.ConfigSource:
    """Returns the config source ADS: the stream of the subscription itself."""
    return core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3)


def seconds(value: float) -> timedelta:
    """A duration."""
    return timedelta(seconds=value)


def address(host: str, port: int) -> core.Address:
    """A TCP address."""
    return core.Address(socket_address=core.SocketAddress(address=host, port_value=port))


def split_host_port(host_port: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`."""
    host, _, port = host_port.rpartition(":")
    return host.strip("[]"), int(port)


def http_filter(name: str, config: betterproto2.Message) -> hcm.HttpFilter:
    """A filter of the HTTP chain."""
    return hcm.HttpFilter(name=name, typed_config=Any.pack(config))


def header(name: str, value: str) -> core.HeaderValueOption:
    """A header that replaces those with its name."""
    return core.HeaderValueOption(
        header=core.HeaderValue(key=name, value=value),
        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def default_header(name: str, value: str) -> core.HeaderValueOption:
    """A header for responses that have none with its name."""
    return core.HeaderValueOption(
        header=core.HeaderValue(key=name, value=value),
        append_action=core.HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
    )
