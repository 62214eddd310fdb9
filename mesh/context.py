"""Who is calling, and within which request and trace: set by the server, read anywhere, carried on every call."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime


@dataclass(frozen=True)
class Caller:
    """A verified identity. `actor` names the service that acts on behalf of the subject, empty when nobody does.

    `expires_at` is when the credential ends that was presented, None when there was none.
    """

    tenant_id: str
    subject: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    key_id: str
    token: str = field(repr=False)
    actor: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True)
class RequestContext:
    """One request as its code sees it. `deadline` is in monotonic seconds, None when unbounded.

    `renew_token` gives the token of each outgoing call, for work that may take longer than one token is good for;
    without it calls carry the caller's.
    """

    caller: Caller | None
    request_id: str
    trace_id: str
    deadline: float | None = None
    traceparent: str = ""
    renew_token: Callable[[], Awaitable[str]] | None = field(default=None, repr=False, compare=False)


_CURRENT: ContextVar[RequestContext | None] = ContextVar("soma_request", default=None)


def current() -> RequestContext | None:
    """The request being served, or None outside of one."""
    return _CURRENT.get()


def caller() -> Caller:
    """The caller of the request being served; `UNAUTHENTICATED` when there is none."""
    request = _CURRENT.get()
    if request is None or request.caller is None:
        raise SomaError(Reason.UNAUTHENTICATED, "This needs a caller: send a token or an API key")
    return request.caller


@contextmanager
def use(ctx: RequestContext) -> Iterator[None]:
    """Make `ctx` the current request for the enclosed block and for the tasks it starts."""
    token = _CURRENT.set(ctx)
    try:
        yield
    finally:
        _CURRENT.reset(token)
