"""Secrets: the edge's certificate, and how each context's servers are known."""

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
    """Every secret that clusters and the listener name."""
    edge = state.trust.edge
    certificate = tls.TlsCertificate(
        certificate_chain=core.DataSource(inline_bytes=edge.chain), private_key=core.DataSource(inline_bytes=edge.key)
    )
    yield tls.Secret(name=EDGE_SECRET, tls_certificate=certificate)
    if state.trust.authority is not None:
        for context in state.routes.contexts:
            yield tls.Secret(name=peer_secret(context), validation_context=_known_as(context, state.trust.authority))


def _known_as(context: str, authority: bytes) -> tls.CertificateValidationContext:
    name = tls.SubjectAltNameMatcher(
        san_type=tls.SubjectAltNameMatcherSanType.URI, matcher=matcher.StringMatcher(exact=f"{SPIFFE}{context}")
    )
    return tls.CertificateValidationContext(
        trusted_ca=core.DataSource(inline_bytes=authority), match_typed_subject_alt_names=[name]
    )
