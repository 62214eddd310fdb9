"""The bootstrap of Envoy, which gets its configuration from the control plane of the gateway."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx

from soma_local.engines import EnvoyEngine
from soma_local.pki import EDGE
from soma_local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from soma_local.home import Home
    from soma_local.pki import KeyPair, Pki

_CONTROL_PLANE = "control_plane"
_HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_GATEWAY_IDENTITY = "spiffe://soma/gateway"
_SERVER_ERROR = 500
_TIMEOUT_S = 5.0
_MAX_CONNECTIONS = 10_000


class Edge(EnvoyEngine):
    """Envoy as the edge proxy of the mesh; ready when the health route responds."""

    start_timeout_s = 90.0
    stop_grace_s = 5.0

    def __init__(self, home: Home, pki: Pki, xds_ports: Sequence[int], edge_port: int) -> None:
        super().__init__(home, lambda admin: bootstrap(admin, xds_ports, pki.authority, pki.pair(EDGE)))
        self._pki = pki
        self._edge_port = edge_port

    @property
    def url(self) -> str:
        """Base URL of the REST API."""
        return f"https://{LOOPBACK}:{self._edge_port}"

    async def ready(self) -> bool:
        """Returns whether a public route responds."""
        if not await super().ready():
            return False
        tls = ssl.create_default_context(cafile=str(self._pki.authority))
        async with httpx.AsyncClient(verify=tls, trust_env=False, timeout=_TIMEOUT_S) as client:
            try:
                response = await client.get(f"{self.url}/v1/health")
            except httpx.TransportError:
                return False
        return response.status_code < _SERVER_ERROR


def bootstrap(admin_port: int, xds_ports: Sequence[int], authority: Path, pair: KeyPair) -> dict[str, object]:
    """Returns Envoy's bootstrap: the admin interface, and the control plane over mutual TLS (delta ADS)."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": EDGE, "cluster": EDGE},
        "admin": {"address": _socket(admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": _CONTROL_PLANE}}],
                "set_node_on_first_message_only": True,
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_control_plane(xds_ports, authority, pair)]},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
    }


def _connection_limit() -> dict[str, object]:
    """Returns the limit that rejects clients before file descriptors run out; the admin interface has none."""
    name = "envoy.resource_monitors.global_downstream_max_connections"
    kind = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    config = {"@type": f"type.googleapis.com/{kind}", "max_active_downstream_connections": _MAX_CONNECTIONS}
    return {"name": name, "typed_config": config}


def _control_plane(ports: Sequence[int], authority: Path, pair: KeyPair) -> dict[str, object]:
    endpoints = [{"endpoint": {"address": _socket(port)}} for port in ports]
    identity = {"san_type": "URI", "matcher": {"exact": _GATEWAY_IDENTITY}}
    return {
        "name": _CONTROL_PLANE,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": _CONTROL_PLANE, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            _HTTP2: {
                "@type": f"type.googleapis.com/{_HTTP2}",
                "explicit_http_config": {
                    # Detects a control plane that is gone without closing its connection.
                    "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
                },
            }
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": _TLS,
                "common_tls_context": {
                    "tls_certificates": [
                        {
                            "certificate_chain": {"filename": str(pair.certificate)},
                            "private_key": {"filename": str(pair.key)},
                        }
                    ],
                    "validation_context": {
                        "trusted_ca": {"filename": str(authority)},
                        "match_typed_subject_alt_names": [identity],
                    },
                    "alpn_protocols": ["h2"],
                },
            },
        },
    }


def _socket(port: int) -> dict[str, object]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}
