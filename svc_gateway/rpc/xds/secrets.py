"""Secrets: the edge's certificate, and how the servers of each context are verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 as tls
import envoy_data_plane.envoy.type.matcher.v3 as matcher

from svc_gateway.domain.edge_state import SPIFFE
from svc_gateway.rpc.xds.clusters import peer_secret
from svc_gateway.rpc.xds.messages import EDGE_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_gateway.domain.edge_state import EdgeState


def secrets(state: EdgeState) -> Iterator[tls.Secret]:
    """Yields every secret that clusters and the listener refer to."""
    pair = state.tls.certificate
    message = tls.TlsCertificate(
        certificate_chain=core.DataSource(inline_bytes=pair.chain),
        private_key=core.DataSource(inline_bytes=pair.private_key),
    )
    yield tls.Secret(name=EDGE_SECRET, tls_certificate=message)
    if state.tls.ca is not None:
        for context in state.routes.contexts:
            yield tls.Secret(name=peer_secret(context), validation_context=_peer_validation(context, state.tls.ca))


def _peer_validation(context: str, ca: bytes) -> tls.CertificateValidationContext:
    name = tls.SubjectAltNameMatcher(
        san_type=tls.SubjectAltNameMatcherSanType.URI, matcher=matcher.StringMatcher(exact=f"{SPIFFE}{context}")
    )
    return tls.CertificateValidationContext(
        trusted_ca=core.DataSource(inline_bytes=ca), match_typed_subject_alt_names=[name]
    )
