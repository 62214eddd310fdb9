"""Routes: REST by verb and path, gRPC by method; everything else gets an error response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import envoy_data_plane.envoy.config.core.v3 as core
import envoy_data_plane.envoy.config.route.v3 as ro
import envoy_data_plane.envoy.extensions.filters.http.buffer.v3 as f_buffer
import envoy_data_plane.envoy.extensions.filters.http.cors.v3 as f_cors
import envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 as f_jwt
import envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 as previous_hosts
import envoy_data_plane.envoy.type.matcher.v3 as matcher
import envoy_data_plane.envoy.type.v3 as kinds
from envoy_data_plane.google.protobuf import Any

from svc_gateway.rpc.xds.clusters import CONTROL
from svc_gateway.rpc.xds.messages import (
    BUFFER_FILTER,
    CORS_FILTER,
    JWT_FILTER,
    KEY_HEADER,
    ROUTES_NAME,
    TRACE_HEADER,
    TRANSCODER_FILTER,
    default_header,
    header,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_gateway.domain.edge_state import Cors, EdgeState, Limits
    from svc_gateway.domain.routes import Method, Resource
    from svc_gateway.domain.templates import Template

REQUIRED = "required"
OPTIONAL = "optional"
# Served for the whole mesh by the gateway, without a credential: they reveal what the OpenAPI document does.
_MESH_SERVICES = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
# Microseconds from the end of the request to the first byte of a service's response, in seconds. A service that
# waited for a provider sends the mesh's own share itself.
_OVERHEAD = "%COMMON_DURATION(DS_RX_END:US_RX_BEG:us)%e-6"
_HSTS = "max-age=31536000; includeSubDomains"
_MAX_LENGTH = 2**62
# These streams need no credential; a client that still reads when its stream ends opens another.
_PUBLIC_IDLE_S = 300.0
_PUBLIC_MAX_DURATION_S = 600.0


def route_configuration(state: EdgeState) -> ro.RouteConfiguration:
    """Returns the route configuration of the edge."""
    host = ro.VirtualHost(
        name=ROUTES_NAME,
        domains=["*"],
        routes=[*_preflights(state.cors), *_grpc(state), *_rest(state), _error_route(ro.RouteMatch(prefix="/"), 404)],
        # Headers that the edge derived are not forwarded: services verify the credential themselves.
        request_headers_to_remove=[KEY_HEADER],
        response_headers_to_add=[
            header("strict-transport-security", _HSTS),
            header("x-content-type-options", "nosniff"),
            header("x-trace-id", f"%REQ({TRACE_HEADER})%"),
        ],
    )
    if state.cors.origins:
        host.typed_per_filter_config[CORS_FILTER] = Any.pack(_cors(state.cors))
    return ro.RouteConfiguration(name=ROUTES_NAME, virtual_hosts=[host], ignore_port_in_host_matching=True)


def _preflights(cors: Cors) -> Iterator[ro.Route]:
    """Routes of preflight requests. The CORS filter responds to them, but only on routes to a cluster."""
    for origin in cors.origins:
        preflight = {":method": "OPTIONS", "origin": origin}
        headers = [
            ro.HeaderMatcher(name=name, string_match=matcher.StringMatcher(exact=value))
            for name, value in preflight.items()
        ]
        headers.append(ro.HeaderMatcher(name="access-control-request-method", present_match=True))
        yield ro.Route(
            match=ro.RouteMatch(prefix="/", headers=headers), route=_route_action(CONTROL, timeout=1, idle=None)
        )


def _grpc(state: EdgeState) -> Iterator[ro.Route]:
    for method in state.routes.methods:
        yield _forward(ro.RouteMatch(path=method.path), method, state.limits)
    for service in _MESH_SERVICES:
        yield ro.Route(
            name=service,
            match=ro.RouteMatch(prefix=f"/{service}/"),
            route=_route_action(CONTROL, timeout=0, idle=_PUBLIC_IDLE_S, max_duration=_PUBLIC_MAX_DURATION_S),
            typed_per_filter_config={JWT_FILTER: _authentication(OPTIONAL)},
        )


def _rest(state: EdgeState) -> Iterator[ro.Route]:
    for resource in state.routes.resources:
        yield from _resource(resource, state)


def _resource(resource: Resource, state: EdgeState) -> Iterator[ro.Route]:
    for verb, (method, binding) in sorted(resource.methods.items()):
        if method.raw_request:
            yield _error_route(_match(resource.template, verb, _longer_than(state.limits.upload_bytes)), 413)
        elif binding.body:
            yield _buffered(_error_route(_match(resource.template, verb, *_not_json()), 415), state.limits)
        forward = _forward(_match(resource.template, verb), method, state.limits)
        yield _buffered(forward, state.limits) if binding.body and not method.client_streaming else forward
    yield _error_route(_match(resource.template), 405, header("allow", resource.allow))


def _buffered(route: ro.Route, limits: Limits) -> ro.Route:
    """Returns the route with a buffered body: some clients (curl 7.88) lose an HTTP/2 response that comes before the
    end of their body.
    """
    buffer = f_buffer.Buffer(max_request_bytes=limits.body_bytes)
    route.typed_per_filter_config[BUFFER_FILTER] = Any.pack(f_buffer.BufferPerRoute(buffer=buffer))
    return route


def _match(template: Template, verb: str = "", *conditions: ro.HeaderMatcher) -> ro.RouteMatch:
    headers = [*conditions]
    if verb:
        headers.insert(0, ro.HeaderMatcher(name=":method", string_match=matcher.StringMatcher(exact=verb)))
    if template.literal:
        return ro.RouteMatch(path=template.text, headers=headers)
    return ro.RouteMatch(safe_regex=matcher.RegexMatcher(regex=template.regex), headers=headers)


def _longer_than(limit: int) -> ro.HeaderMatcher:
    return ro.HeaderMatcher(name="content-length", range_match=kinds.Int64Range(start=limit + 1, end=_MAX_LENGTH))


def _not_json() -> tuple[ro.HeaderMatcher, ro.HeaderMatcher]:
    """Matches a content-type other than JSON. An empty body needs no content-type."""
    json = matcher.StringMatcher(
        safe_regex=matcher.RegexMatcher(regex=r"(?i)application/(json|grpc[-+\w]*|[-.\w]+\+json)\s*(;.*)?")
    )
    return (
        ro.HeaderMatcher(name="content-type", present_match=True),
        ro.HeaderMatcher(name="content-type", string_match=json, invert_match=True),
    )


def _forward(match: ro.RouteMatch, method: Method, limits: Limits) -> ro.Route:
    """Returns the route of a method, with a time limit for its request body and its response.

    Response streams have none. An upload ends when its client is idle, and after its maximum duration.
    """
    timeout = 0.0 if method.streaming else limits.unary_timeout_s
    idle = None if not method.streaming else limits.upload_idle_s if method.client_streaming else 0.0
    return ro.Route(
        name=method.path[1:],
        match=match,
        route=_route_action(
            method.context,
            timeout=timeout,
            idle=idle,
            max_duration=_max_duration(method, limits),
            retry_resets=_is_idempotent(method),
        ),
        response_headers_to_add=[] if method.streaming else [default_header("x-mesh-overhead-seconds", _OVERHEAD)],
        typed_per_filter_config={JWT_FILTER: _authentication(OPTIONAL if method.public else REQUIRED)},
    )


def _max_duration(method: Method, limits: Limits) -> float | None:
    """Maximum duration of a request from its first byte; a route's timeout starts only at the end of the body."""
    if method.client_streaming:
        return limits.upload_longest_s
    return None if method.streaming else limits.unary_timeout_s


def _is_idempotent(method: Method) -> bool:
    """Whether a call only reads, and has one response."""
    return not method.streaming and bool(method.bindings) and all(each.verb == "GET" for each in method.bindings)


def _route_action(
    cluster: str, *, timeout: float, idle: float | None, max_duration: float | None = None, retry_resets: bool = False
) -> ro.RouteAction:
    """Retries requests that reached no server, and with `retry_resets` those whose connection was reset.

    Others may have had an effect. A retry goes to another server: one that has just died has no requests and would
    count as the least loaded.
    """
    others = Any.pack(previous_hosts.PreviousHostsPredicate())
    return ro.RouteAction(
        cluster=cluster,
        timeout=seconds(timeout),
        idle_timeout=None if idle is None else seconds(idle),
        max_stream_duration=None
        if max_duration is None
        else ro.RouteActionMaxStreamDuration(max_stream_duration=seconds(max_duration)),
        retry_policy=ro.RetryPolicy(
            retry_on="connect-failure,refused-stream,reset" if retry_resets else "connect-failure,refused-stream",
            num_retries=2,
            retry_host_predicate=[
                ro.RetryPolicyRetryHostPredicate(name="envoy.retry_host_predicates.previous_hosts", typed_config=others)
            ],
            host_selection_retry_max_attempts=5,
            retry_back_off=ro.RetryPolicyRetryBackOff(base_interval=seconds(0.05), max_interval=seconds(0.5)),
        ),
    )


def _authentication(requirement: str) -> Any:
    return Any.pack(f_jwt.PerRouteConfig(requirement_name=requirement))


def _error_route(match: ro.RouteMatch, status: int, *headers: core.HeaderValueOption) -> ro.Route:
    """Returns a route with a local reply, without authentication; its body is set by the local reply config."""
    off = Any.pack(ro.FilterConfig(disabled=True))
    return ro.Route(
        match=match,
        direct_response=ro.DirectResponseAction(status=status),
        response_headers_to_add=[*headers],
        typed_per_filter_config={
            JWT_FILTER: off,
            TRANSCODER_FILTER: off,
        },
    )


def _cors(cors: Cors) -> f_cors.CorsPolicy:
    return f_cors.CorsPolicy(
        allow_origin_string_match=[matcher.StringMatcher(exact=origin) for origin in cors.origins],
        allow_methods="GET, POST, PUT, PATCH, DELETE",
        allow_headers="authorization, content-type, idempotency-key, last-event-id, traceparent, x-api-key, "
        "x-grpc-web, x-request-id, x-user-agent, grpc-timeout",
        expose_headers="grpc-status, grpc-message, grpc-status-details-bin, retry-after, x-request-id, "
        "ratelimit-limit, ratelimit-remaining, ratelimit-reset, x-ratelimit-limit, x-ratelimit-remaining, "
        "x-ratelimit-reset, x-trace-id, x-mesh-overhead-seconds",
        max_age="600",
    )
