"""The routing table: every method of the mesh, where it is served, and how REST reaches it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from svc_gateway.domain.templates import Template


@dataclass(frozen=True)
class Binding:
    """One REST mapping of a method. `body` names the field that the body fills, `*` all of them, empty none."""

    verb: str
    template: Template
    body: str = ""


@dataclass(frozen=True)
class Method:
    """One RPC. Raw bodies are `google.api.HttpBody`: bytes of any type instead of JSON."""

    service: str
    name: str
    context: str
    action: str = ""
    public: bool = False
    client_streaming: bool = False
    server_streaming: bool = False
    raw_request: bool = False
    bindings: tuple[Binding, ...] = ()

    @property
    def path(self) -> str:
        """Path of native gRPC."""
        return f"/{self.service}/{self.name}"

    @property
    def streaming(self) -> bool:
        """Whether either side streams; such a call has no fixed duration."""
        return self.client_streaming or self.server_streaming

    @property
    def has_head(self) -> bool:
        """Whether HEAD is served where GET is; not for streams, which would run without a reader."""
        return not self.streaming


@dataclass(frozen=True)
class Resource:
    """One set of REST paths: the methods served there, by HTTP verb."""

    template: Template
    methods: Mapping[str, tuple[Method, Binding]]

    @property
    def allow(self) -> str:
        """The verbs that exist, as the Allow header lists them."""
        return ", ".join(sorted(self.methods))


@dataclass(frozen=True)
class RouteTable:
    """All methods, ordered by service and name as the descriptors list them."""

    methods: tuple[Method, ...]

    @cached_property
    def services(self) -> tuple[str, ...]:
        """Full names of the services, in order."""
        return tuple(dict.fromkeys(method.service for method in self.methods))

    @cached_property
    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts that serve something, ordered."""
        return tuple(sorted({method.context for method in self.methods}))

    @cached_property
    def resources(self) -> tuple[Resource, ...]:
        """REST paths in the order to try them: literals, then paths with a verb, then the longest."""
        pairs = [(binding.template, method, binding) for method in self.methods for binding in method.bindings]
        ordered = sorted(pairs, key=lambda pair: (*_rank(pair[0]), pair[0].regex))
        return tuple(
            _resource([*group]) for _, group in groupby(ordered, key=lambda pair: pair[0].regex)
        )  # fmt: skip


def _rank(template: Template) -> tuple[bool, bool, int]:
    return not template.literal, not template.verb, -len(template.segments)


def _resource(group: Sequence[tuple[Template, Method, Binding]]) -> Resource:
    methods: dict[str, tuple[Method, Binding]] = {}
    for _, method, binding in group:
        if binding.verb in methods:
            other = methods[binding.verb][0]
            raise ValueError(f"{method.path} and {other.path} share the route {binding.verb} {binding.template.text}")
        methods[binding.verb] = (method, binding)
    get = methods.get("GET")
    if get is not None and get[0].has_head:
        methods["HEAD"] = get
    return Resource(group[0][0], MappingProxyType(methods))
