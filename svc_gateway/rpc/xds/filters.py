"""The HTTP filter chain, in the order in which a request passes through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.route.v3 as ro
import envoy_data_plane.envoy.extensions.common.ratelimit.v3 as rate
import envoy_data_plane.envoy.extensions.filters.http.buffer.v3 as f_buffer
import envoy_data_plane.envoy.extensions.filters.http.cors.v3 as f_cors
import envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 as f_transcoder
import envoy_data_plane.envoy.extensions.filters.http.grpc_web.v3 as f_web
import envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 as f_jwt
import envoy_data_plane.envoy.extensions.filters.http.local_ratelimit.v3 as f_rate
import envoy_data_plane.envoy.extensions.filters.http.lua.v3 as f_lua
import envoy_data_plane.envoy.extensions.filters.http.rbac.v3 as f_rbac
import envoy_data_plane.envoy.extensions.filters.http.router.v3 as f_router
import envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 as hcm
import envoy_data_plane.envoy.type.metadata.v3 as metadata
import envoy_data_plane.envoy.type.v3 as kinds
from envoy_data_plane.google.protobuf import Any, Empty

from svc_gateway.rpc.xds.messages import (
    BUFFER_FILTER,
    CLAIMS,
    CORS_FILTER,
    JWT_FILTER,
    KEY_HEADER,
    RBAC_FILTER,
    TRANSCODER_FILTER,
    from_ads,
    http_filter,
    seconds,
)
from svc_gateway.rpc.xds.replies import lua_script
from svc_gateway.rpc.xds.routes import OPTIONAL, REQUIRED
from svc_gateway.rpc.xds.tracing import trace_filters

if TYPE_CHECKING:
    import betterproto2

    from svc_gateway.domain.edge_state import CredentialVerification, EdgeState, Limits

_KEY = "key"
_TOKEN = "token"  # noqa: S105 - a provider's name
_MAX_CACHED_TOKENS = 1_000
_MAX_TOKEN_BYTES = 8 * 1024
_CLOCK_SKEW_S = 5
_MAX_RESPONSE_BYTES = 16 << 20


def http_filters(state: EdgeState) -> list[hcm.HttpFilter]:
    """Returns the chain. Filters that change while running come by ECDS, so that no connection is drained for them."""
    return [
        *trace_filters(state.collector),
        http_filter(
            "envoy.filters.http.lua", f_lua.Lua(default_source_code=core.DataSource(inline_string=lua_script()))
        ),
        http_filter("envoy.filters.http.grpc_web", f_web.GrpcWeb()),
        http_filter(CORS_FILTER, f_cors.Cors()),
        _dynamic_filter(JWT_FILTER, f_jwt.JwtAuthentication),
        _dynamic_filter(RBAC_FILTER, f_rbac.Rbac),
        http_filter("envoy.filters.http.local_ratelimit", _rate_limit(state.limits)),
        _body_buffer(state.limits),
        http_filter(TRANSCODER_FILTER, _transcoder(state)),
        http_filter("envoy.filters.http.router", f_router.Router(suppress_envoy_headers=True)),
    ]


def _body_buffer(limits: Limits) -> hcm.HttpFilter:
    """Disabled, except on routes with a JSON body: the transcoder's own limit applies to chunks, not to the body."""
    buffer = http_filter(BUFFER_FILTER, f_buffer.Buffer(max_request_bytes=limits.body_bytes))
    buffer.disabled = True
    return buffer


def _dynamic_filter(name: str, config: type[betterproto2.Message]) -> hcm.HttpFilter:
    source = core.ExtensionConfigSource(config_source=from_ads(), type_urls=[Any.pack(config()).type_url])
    return hcm.HttpFilter(name=name, config_discovery=source)


def authentication(credentials: CredentialVerification) -> core.TypedExtensionConfig:
    """Verifies tokens and API keys by signature, issuer, audience and expiry."""
    by_credential = [f_jwt.JwtRequirement(provider_name=name) for name in (_KEY, _TOKEN)]
    anonymous = f_jwt.JwtRequirement(allow_missing=Empty())
    config = f_jwt.JwtAuthentication(
        providers={_KEY: _key_provider(credentials), _TOKEN: _token_provider(credentials)},
        requirement_map={REQUIRED: _any_of(by_credential), OPTIONAL: _any_of([*by_credential, anonymous])},
        bypass_cors_preflight=True,
    )
    return core.TypedExtensionConfig(name=JWT_FILTER, typed_config=Any.pack(config))


def _any_of(requirements: list[f_jwt.JwtRequirement]) -> f_jwt.JwtRequirement:
    return f_jwt.JwtRequirement(requires_any=f_jwt.JwtRequirementOrList(requirements=requirements))


def _key_provider(credentials: CredentialVerification) -> f_jwt.JwtProvider:
    prefix = credentials.key_prefix
    return _provider(
        credentials,
        f_jwt.JwtHeader(name="authorization", value_prefix=f"Bearer {prefix}"),
        f_jwt.JwtHeader(name="x-api-key", value_prefix=prefix),
    )


def _token_provider(credentials: CredentialVerification) -> f_jwt.JwtProvider:
    return _provider(credentials, f_jwt.JwtHeader(name="authorization", value_prefix="Bearer "))


def _provider(credentials: CredentialVerification, *headers: f_jwt.JwtHeader) -> f_jwt.JwtProvider:
    """A provider reads one prefix only; both use the same keys. The credential is forwarded: services verify again."""
    return f_jwt.JwtProvider(
        issuer=credentials.issuer,
        audiences=[credentials.audience],
        require_expiration=True,
        clock_skew_seconds=_CLOCK_SKEW_S,
        local_jwks=core.DataSource(inline_string=credentials.jwks),
        from_headers=[*headers],
        forward=True,
        payload_in_metadata=CLAIMS,
        claim_to_headers=[f_jwt.JwtClaimToHeader(header_name=KEY_HEADER, claim_name="jti")],
        jwt_cache_config=f_jwt.JwtCacheConfig(jwt_cache_size=_MAX_CACHED_TOKENS, jwt_max_token_size=_MAX_TOKEN_BYTES),
    )


def _rate_limit(limits: Limits) -> f_rate.LocalRateLimit:
    """One token bucket for all requests, and one for each tenant, created on its first request."""
    always = core.RuntimeFractionalPercent(default_value=kinds.FractionalPercent(numerator=100))
    path = [metadata.MetadataKeyPathSegment(key=key) for key in (CLAIMS, "tenant")]
    tenant = ro.RateLimitActionMetaData(
        descriptor_key="tenant", metadata_key=metadata.MetadataKey(key=JWT_FILTER, path=path), skip_if_absent=True
    )
    return f_rate.LocalRateLimit(
        stat_prefix="edge",
        token_bucket=_bucket(limits.requests_per_second),
        filter_enabled=always,
        filter_enforced=always,
        rate_limits=[ro.RateLimit(actions=[ro.RateLimitAction(metadata=tenant)])],
        descriptors=[
            rate.LocalRateLimitDescriptor(
                entries=[rate.RateLimitDescriptorEntry(key="tenant")],
                token_bucket=_bucket(limits.tenant_requests_per_second),
            )
        ],
        max_dynamic_descriptors=limits.tenants_tracked,
        enable_x_ratelimit_headers=rate.XRateLimitHeadersRfcVersion.DRAFT_VERSION_03,
        rate_limited_as_resource_exhausted=True,
    )


def _bucket(per_second: int) -> kinds.TokenBucket:
    return kinds.TokenBucket(max_tokens=per_second, tokens_per_fill=per_second, fill_interval=seconds(1))


def _transcoder(state: EdgeState) -> f_transcoder.GrpcJsonTranscoder:
    return f_transcoder.GrpcJsonTranscoder(
        proto_descriptor_bin=state.descriptors,
        services=[*state.routes.services],
        match_incoming_request_route=True,
        convert_grpc_status=True,
        print_options=f_transcoder.GrpcJsonTranscoderPrintOptions(
            preserve_proto_field_names=True, always_print_primitive_fields=True, stream_sse_style_delimited=True
        ),
        request_validation_options=f_transcoder.GrpcJsonTranscoderRequestValidationOptions(
            reject_unknown_method=True, reject_unknown_query_parameters=True, reject_binding_body_field_collisions=True
        ),
        max_request_body_size=state.limits.body_bytes,
        max_response_body_size=_MAX_RESPONSE_BYTES,
    )
