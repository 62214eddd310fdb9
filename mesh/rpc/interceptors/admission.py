"""Bounds the calls served at once, in total and for each tenant, and ends open streams when the server drains."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import QuotaViolation, Reason, SomaError
from mesh.identity import SYSTEM_TENANT
from mesh.rpc.access import sends_events
from mesh.rpc.interceptor import Call, Interceptor
from mesh.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.rpc.interceptor import Continuation


MAX_PUBLIC_STREAMS = 128
TRANSCODED_KEY = "x-envoy-original-path"
"""The header by which a REST call is known; the edge strips it from what clients send."""


@dataclass(frozen=True)
class TenantLimits:
    """What one tenant may have open at once: a share of all calls and of all streams, and numbers of some of them.

    `event_streams` are the response streams but for those of raw bodies, which end by themselves.
    """

    share: float = 1.0
    uploads: int | None = None
    event_streams: int | None = None


class Admission(Interceptor):
    """Counts calls and streams apart, so that idle streams cannot shut out calls. Public calls always pass.

    Uploads, which last as long as their clients please, are a part of the calls, at most `max_uploads` of them. Of each
    kind a tenant may have a share, so that none shuts out another, and of event streams, which each wait for news and
    are sent it, a number; services' own calls belong to no tenant. Public streams, which nobody has to say who they are
    to open, have a limit of their own and take no other's place.
    """

    name = "admission"
    # A place is of the tenant of the caller, and only for calls that may be made.
    after = ("identity", "authorization")

    def __init__(
        self,
        max_calls: int,
        max_streams: int,
        max_public_streams: int = MAX_PUBLIC_STREAMS,
        *,
        max_uploads: int | None = None,
        tenant: TenantLimits = TenantLimits(),
    ) -> None:
        self._calls = _ConcurrencyLimit("calls", max_calls, _part(max_calls, tenant.share))
        self._uploads = _ConcurrencyLimit("uploads", max_uploads, tenant.uploads)
        self._streams = _ConcurrencyLimit("streams", max_streams, _part(max_streams, tenant.share))
        self._event_streams = _ConcurrencyLimit("event_streams", None, tenant.event_streams)
        self._public_streams = _ConcurrencyLimit("public_streams", max_public_streams, None)
        self._tasks: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()
        self._open = gauge("rpc_open_streams", "Response streams that are open.", ("service", "method"))
        self._events = gauge("gateway_sse_connections", "Event streams that REST clients hold open.", ("method",))

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call if there is room; OVERLOADED, with a time to retry after, if not."""
        if call.method.response_streaming:
            return await self._stream(call, continuation)
        if call.method.public:
            return await continuation(call)
        tenant = _tenant(call)
        with ExitStack() as slots:
            slots.enter_context(self._calls.slot(tenant))
            if call.method.request_streaming:
                slots.enter_context(self._uploads.slot(tenant))
            return await continuation(call)

    def end_streams(self) -> None:
        """End the open streams: their callers are told to reconnect."""
        for task in self._tasks - self._ended:
            self._ended.add(task)
            task.cancel()

    async def _stream(self, call: Call, continuation: Continuation) -> object:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served outside of a task")
        with self._stream_slot(call), self._gauged(call):
            self._tasks.add(task)
            try:
                return await continuation(call)
            except asyncio.CancelledError:
                if task not in self._ended or task.uncancel() > 0:
                    raise
                raise SomaError(
                    Reason.UNAVAILABLE, "The server is being replaced: reconnect and resume", retry_after_s=1.0
                ) from None
            finally:
                self._tasks.discard(task)
                self._ended.discard(task)

    @contextmanager
    def _stream_slot(self, call: Call) -> Iterator[None]:
        """A place for a stream while entered."""
        if call.method.public:
            kinds = [self._public_streams]
        elif sends_events(call.method.service, call.method.name):
            kinds = [self._event_streams, self._streams]
        else:
            kinds = [self._streams]
        with ExitStack() as slots:
            for kind in kinds:
                slots.enter_context(kind.slot(_tenant(call)))
            yield

    @contextmanager
    def _gauged(self, call: Call) -> Iterator[None]:
        method = call.method
        gauges = [self._open.labels(method.service, method.name)]
        if TRANSCODED_KEY in call.metadata and sends_events(method.service, method.name):
            gauges.append(self._events.labels(f"{method.service}/{method.name}"))
        for each in gauges:
            each.inc()
        try:
            yield
        finally:
            for each in gauges:
                each.dec()


class _ConcurrencyLimit:
    """Room for one kind of call: so many in total, so many for one tenant; None is no bound."""

    def __init__(self, kind: str, total: int | None, of_tenant: int | None) -> None:
        self._kind = kind
        self._total = total
        self._of_tenant = of_tenant
        self._taken = 0
        self._by_tenant: Counter[str] = Counter()
        self._refused = counter(
            "admission_refused_total", "Calls refused because there was no room for them.", ("kind", "scope")
        )

    @contextmanager
    def slot(self, tenant: str) -> Iterator[None]:
        """Take a place while entered; OVERLOADED when there is none. Calls of no tenant are bounded in total only."""
        if self._total is not None and self._taken >= self._total:
            raise self._full("total", "The service has as much work as it can take; retry")
        if tenant and self._of_tenant is not None and self._by_tenant[tenant] >= self._of_tenant:
            name = self._kind.replace("_", " ")
            quota = QuotaViolation(f"tenant:{self._kind}", f"{self._of_tenant} may be open at once")
            raise self._full("tenant", f"Your tenant has as many {name} open here as it may; end some or retry", quota)
        self._taken += 1
        if tenant:
            self._by_tenant[tenant] += 1
        try:
            yield
        finally:
            self._taken -= 1
            if tenant:
                self._by_tenant[tenant] -= 1
                if not self._by_tenant[tenant]:
                    del self._by_tenant[tenant]

    def _full(self, scope: str, text: str, *quotas: QuotaViolation) -> SomaError:
        self._refused.labels(self._kind, scope).inc()
        return SomaError(Reason.OVERLOADED, text, quotas=quotas, retry_after_s=1.0)


def _tenant(call: Call) -> str:
    """Whose call it is; empty for nobody's and for services' own."""
    tenant = call.caller.tenant_id if call.caller is not None else ""
    return "" if tenant == SYSTEM_TENANT else tenant


def _part(total: int, share: float) -> int:
    return max(1, int(total * share))
