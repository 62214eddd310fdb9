"""Collects the handlers that generated code registers, and puts the chain around each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

import grpc
import grpc.aio

from mesh.errors import Reason, SomaError
from mesh.logging import get_logger
from mesh.rpc.interceptor import Access, MethodInfo
from mesh.rpc.wrapped_handlers import wrap

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.rpc.interceptor import Interceptor, ServicerContext
    from mesh.rpc.wrapped_handlers import Handler

Registration: TypeAlias = tuple[Callable[..., None], object]
"""The generated `add_<Service>Servicer_to_server` and the servicer to add."""

AccessOf: TypeAlias = Callable[[str, str], Access | None]


class Registrar:
    """Stands in for the server while generated code registers: it keeps the handlers instead of serving them."""

    def __init__(self, registrations: Iterable[Registration]) -> None:
        self.services: dict[str, Mapping[str, Handler]] = {}
        for add, servicer in registrations:
            add(servicer, self)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Keep the handlers of one service."""
        if service_name in self.services:
            raise ValueError(f"{service_name} is registered twice")
        self.services[service_name] = method_handlers

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing to keep: generated code registers the same handlers by name as well."""

    def register(
        self, server: grpc.aio.Server, chain: Sequence[Interceptor], clock: Clock, access_of: AccessOf
    ) -> None:
        """Serve every kept method behind the chain, and refuse every other one in the same manner."""
        for service, handlers in self.services.items():
            wrapped = {
                name: wrap(handler, _method_info(service, name, handler, access_of), chain, clock)
                for name, handler in handlers.items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))
        server.add_generic_rpc_handlers((_Unknown(chain, clock),))


def _method_info(service: str, name: str, handler: Handler, access_of: AccessOf) -> MethodInfo:
    access = access_of(service, name)
    if access is None:
        get_logger("mesh.rpc").warning("the method declares no access rule, so every call is denied", method=name)
    return MethodInfo(service, name, handler.request_streaming, handler.response_streaming, access)


class _Unknown(grpc.GenericRpcHandler):
    """Answers every method that nobody registered, so that also this error carries its reason."""

    def __init__(self, chain: Sequence[Interceptor], clock: Clock) -> None:
        handler = cast("Handler", grpc.stream_stream_rpc_method_handler(_refuse))
        method = MethodInfo(
            "unknown", "unknown", request_streaming=True, response_streaming=True, access=Access("", True)
        )
        self._handler = wrap(handler, method, chain, clock)

    def service(self, _details: grpc.HandlerCallDetails) -> Handler:
        """The same answer whatever is asked."""
        return self._handler


async def _refuse(_request: object, _context: ServicerContext) -> None:
    raise SomaError(Reason.UNIMPLEMENTED, "This server has no such method")
