"""What every outgoing call carries, and what comes of it: metadata, deadline, span, metric, error."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh import context
from mesh.errors import Reason, SomaError
from mesh.rpc import status
from mesh.rpc.span_attributes import STATUS_CODE, number_of_code, span_attributes
from mesh.telemetry import histogram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mesh.clock import Clock

_PROPAGATOR = TraceContextTextMapPropagator()
MARGIN_S = 0.005
"""Kept back from the caller's deadline, so that an answer can still travel up."""

_LOCAL_FAILURE = "Internal error from Core"
"""How this side of gRPC words that a stream broke under it; no peer says so."""

_TRANSPORT_TEXT = {
    Reason.DEPENDENCY_UNAVAILABLE: "does not answer",
    Reason.DEADLINE_EXCEEDED: "did not answer in time",
    Reason.OVERLOADED: "refused the call: it is too large, or there are too many",
    Reason.UNIMPLEMENTED: "does not know this method",
}


@dataclass(frozen=True)
class Method:
    """A method as its path names it."""

    path: str
    service: str
    name: str

    @classmethod
    def parse(cls, path: str) -> Method:
        """Read `/package.Service/Method`."""
        service, _, name = path.lstrip("/").partition("/")
        return cls(path, service, name)


class ClientCallPreparer:
    """Prepares the calls of one channel and accounts for them."""

    def __init__(self, clock: Clock, tracer: trace.Tracer, token: Callable[[], Awaitable[str]] | None) -> None:
        self._clock = clock
        self._tracer = tracer
        self._token = token
        self._seconds = histogram(
            "rpc_client_seconds", "Time of an outgoing call, streams to their end.", ("service", "method", "code")
        )

    def begin(self, method: Method) -> OutgoingCall:
        """Start the span and the clock of one call."""
        span = self._tracer.start_span(
            f"{method.service}/{method.name}",
            kind=trace.SpanKind.CLIENT,
            attributes=span_attributes(method.service, method.name),
        )
        return OutgoingCall(method, span, self._clock.monotonic(), self)

    async def metadata(self, given: Sequence[tuple[str, str | bytes]], span: trace.Span) -> grpc.aio.Metadata:
        """The call's headers: those given, then identity, request id and trace where they are not given."""
        headers: dict[str, str | bytes] = {}
        request = context.current()
        if request is not None and request.request_id:
            headers[status.REQUEST_ID_KEY] = request.request_id
        headers.update(self._trace_headers(request, span))
        present = {key for key, _ in given}
        if "authorization" not in present and (token := await self._bearer(request)):
            headers["authorization"] = f"Bearer {token}"
        carried = [(key, value) for key, value in headers.items() if key not in present]
        return grpc.aio.Metadata(*given, *carried)

    def timeout(self, given: float | None) -> float | None:
        """Seconds the call may take: what was asked for, within what is left of the request being served."""
        request = context.current()
        if request is None or request.deadline is None:
            return given
        remaining = request.deadline - self._clock.monotonic() - MARGIN_S
        if remaining <= 0:
            raise SomaError(Reason.DEADLINE_EXCEEDED, "The time for this request ran out before all work was done")
        return remaining if given is None else min(given, remaining)

    def observe(self, method: Method, started: float, code: str) -> None:
        """Count one finished call."""
        self._seconds.labels(method.service, method.name, code).observe(self._clock.monotonic() - started)

    async def _bearer(self, request: context.RequestContext | None) -> str:
        if request is not None and request.renew_token is not None:
            return await request.renew_token()
        if request is not None and request.caller is not None and request.caller.token:
            return request.caller.token
        return await self._token() if self._token is not None else ""

    @staticmethod
    def _trace_headers(request: context.RequestContext | None, span: trace.Span) -> dict[str, str]:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        if not carrier and request is not None and request.traceparent:
            carrier["traceparent"] = request.traceparent
        return carrier


@dataclass
class OutgoingCall:
    """One outgoing call; ended once, by whatever happens first."""

    method: Method
    span: trace.Span
    started: float
    owner: ClientCallPreparer
    ended: bool = False

    def end(self, code: str = "OK") -> None:
        """Close the span and count the call; without effect the second time."""
        if self.ended:
            return
        self.ended = True
        self.span.set_attribute(STATUS_CODE, number_of_code(code))
        if code != "OK":
            self.span.set_status(trace.Status(trace.StatusCode.ERROR, code))
        self.span.end()
        self.owner.observe(self.method, self.started, code)

    def failed(self, error: BaseException) -> BaseException:
        """End with an error and give the one to raise in its place."""
        if isinstance(error, grpc.aio.AioRpcError):
            self.end(error.code().name)
            return to_soma_error(error, self.method)
        if isinstance(error, SomaError):
            self.end(error.status_mapping.grpc_code)
        else:
            self.end("CANCELLED" if isinstance(error, asyncio.CancelledError) else "INTERNAL")
        return error


def to_soma_error(error: grpc.aio.AioRpcError, method: Method) -> SomaError:
    """The error that a peer meant. Without a rich status its text is the transport's, which stays here."""
    for key, value in error.trailing_metadata() or ():
        if key == status.DETAILS_KEY and isinstance(value, bytes):
            try:
                return status.from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    reason = status.reason_of_code(error.code().name)
    if is_local_failure(error) or reason is Reason.CANCELLED:  # by a peer that stops: nobody here gave the call up
        reason = Reason.DEPENDENCY_UNAVAILABLE
    text = _TRANSPORT_TEXT.get(reason, f"answered {error.code().name}")
    return SomaError(reason, f"{method.service} {text}", metadata={"service": method.service})


def is_local_failure(error: grpc.aio.AioRpcError) -> bool:
    """Whether this side of gRPC failed, and no peer said so."""
    return error.code() is grpc.StatusCode.INTERNAL and (error.details() or "").startswith(_LOCAL_FAILURE)
