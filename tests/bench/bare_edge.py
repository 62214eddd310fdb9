"""An Envoy that only transcodes: the same proxy, TLS and backend as the edge, none of its other filters."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from soma_local.engines import EnvoyEngine
from soma_local.pki import EDGE, Pki
from soma_local.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_local.pki import KeyPair
    from tests.bench.rig import Rig

BACKEND = "backend"
DESCRIPTORS = Path(__file__).parents[2] / "gen" / "descriptors" / "soma.binpb"
_TYPES = "type.googleapis.com/envoy.extensions"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@asynccontextmanager
async def serving(rig: Rig, context: str, service: str) -> AsyncIterator[int]:
    """The port of a proxy that transcodes REST for one service of a context."""
    pki = Pki(rig.home.pki, SystemClock())
    pair, port = pki.pair(EDGE), free_port()
    upstream = rig.service_address(context)

    def bootstrap(admin: int) -> Mapping[str, object]:
        return {
            "admin": {"address": _socket(LOOPBACK, admin)},
            "static_resources": {
                "listeners": [_listener(port, pair, service)],
                "clusters": [_cluster(upstream, pair, pki.authority)],
            },
        }

    engine = EnvoyEngine(rig.home.root / "bare-edge", bootstrap)
    await engine.start()
    try:
        yield port
    finally:
        await engine.stop()


def _socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}


def _certificate(pair: KeyPair) -> dict[str, object]:
    return {"certificate_chain": {"filename": str(pair.certificate)}, "private_key": {"filename": str(pair.key)}}


def _listener(port: int, pair: KeyPair, service: str) -> dict[str, object]:
    everything = {"match": {"prefix": "/"}, "route": {"cluster": BACKEND, "timeout": "30s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everything]}]},
        "http_filters": [_transcoder(service), _router()],
    }
    tls = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [_certificate(pair)],
            "alpn_protocols": ["h2", "http/1.1"],
        },
    }
    chain = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }
    return {"name": "bare", "address": _socket(LOOPBACK, port), "filter_chains": [chain]}


def _transcoder(service: str) -> dict[str, object]:
    descriptors = DESCRIPTORS.read_bytes()
    config = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor_bin": base64.b64encode(descriptors).decode(),
        "services": [service],
        "match_incoming_request_route": True,
        "convert_grpc_status": True,
        "print_options": {"preserve_proto_field_names": True, "always_print_primitive_fields": True},
    }
    return {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": config}


def _router() -> dict[str, object]:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }


def _cluster(upstream: str, pair: KeyPair, authority: Path) -> dict[str, object]:
    host, _, port = upstream.rpartition(":")
    tls = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [_certificate(pair)],
            "validation_context": {"trusted_ca": {"filename": str(authority)}},
            "alpn_protocols": ["h2"],
        },
    }
    endpoint = {"endpoint": {"address": _socket(host, int(port))}}
    return {
        "name": BACKEND,
        "type": "STATIC",
        "load_assignment": {"cluster_name": BACKEND, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP: {"@type": f"type.googleapis.com/{_HTTP}", "explicit_http_config": {"http2_protocol_options": {}}}
        },
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
    }
