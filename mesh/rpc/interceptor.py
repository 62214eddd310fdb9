"""What an interceptor sees: the method, the call, and how to go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc.aio

    from mesh.context import Caller
    from mesh.overhead import OverheadTimer

    ServicerContext: TypeAlias = grpc.aio.ServicerContext[object, object]


@dataclass(frozen=True)
class Access:
    """What a method asks of its caller: an action that policy decides, or nothing when public."""

    action: str
    public: bool


@dataclass(frozen=True)
class MethodInfo:
    """One method of one service. `access` is None when its contract does not say who may call it."""

    service: str
    name: str
    request_streaming: bool
    response_streaming: bool
    access: Access | None

    @property
    def public(self) -> bool:
        """Whether no identity is needed."""
        return self.access is not None and self.access.public


@dataclass
class Call:
    """One call being served; interceptors fill it in as it passes.

    `request` is the message, or the iterator of messages of a streaming request. `deadline` is in monotonic seconds.
    `overhead_timer` tells what of its time is the mesh's own, for calls from outside.
    """

    method: MethodInfo
    request: object
    context: ServicerContext
    metadata: Mapping[str, str]
    deadline: float | None = None
    request_id: str = ""
    trace_id: str = ""
    traceparent: str = ""
    caller: Caller | None = None
    overhead_timer: OverheadTimer | None = None
    response_headers: list[tuple[str, str | bytes]] = field(default_factory=list)


Continuation: TypeAlias = Callable[[Call], Awaitable[object]]
"""Runs the rest of the chain and the handler; gives the response of a unary method, None of a streaming one."""


class Interceptor:
    """One concern around every call, whatever its kind: streams are inside, to their last message.

    `name` is its own in a chain. `after` names those that must be further out, since it relies on what they did, and
    `before` those that must be further in; of them only those count that are in the chain
    (`mesh.rpc.interceptor_order`).
    """

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call, or raise; what `continuation` gives is handed back."""
        return await continuation(call)


_SERVED: ContextVar[Call | None] = ContextVar("soma_call", default=None)


def enter(call: Call) -> None:
    """Make `call` the one served by the current task, which ends with it."""
    _SERVED.set(call)


def add_response_header(name: str, value: str | bytes) -> None:
    """Add a response header to the call being served; LookupError outside of one.

    Headers leave with the first response message: later ones are lost.
    """
    call = _SERVED.get()
    if call is None:
        raise LookupError("no call is being served")
    call.response_headers.append((name, value))
