"""Readiness of the services of a process, as `grpc.health.v1` tells it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import grpc.aio

    from mesh.clock import Clock

_Status = health_pb2.HealthCheckResponse
OVERALL = ""
REASON_KEY = "soma-reason"
"""Trailing metadata of Check that says why a name is NOT_SERVING, in ASCII."""


class Readiness:
    """Turns single probes into a state that does not flap.

    It falls after `failures` bad probes in a row, rises after `successes` good ones, and holds each state for at
    least `hold_s` seconds.
    """

    def __init__(self, clock: Clock, *, failures: int = 3, successes: int = 2, hold_s: float = 10.0) -> None:
        self._clock = clock
        self._needed = {True: failures, False: successes}
        self._hold_s = hold_s
        self._contrary_probes = 0
        self._changed_at: float | None = None
        self.ready = True

    def observe(self, good: bool) -> bool:
        """Take in one probe and give the state after it."""
        if good == self.ready:
            self._contrary_probes = 0
            return self.ready
        self._contrary_probes += 1
        now = self._clock.monotonic()
        held = self._changed_at is None or now - self._changed_at >= self._hold_s
        if self._contrary_probes >= self._needed[self.ready] and held:
            self.ready = good
            self._contrary_probes = 0
            self._changed_at = now
        return self.ready


class Health(health_pb2_grpc.HealthServicer):
    """The state of each service name and of the whole server (the empty name), for Check and Watch.

    These tell what this process can do, never what its dependencies do: else one of them would take every replica
    out at once. Dependencies have names of their own (`mesh.dependencies`), which nothing routes by.
    """

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._reasons: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def set(self, service_name: str, serving: bool, reason: str = "") -> None:
        """Set the state of one name, with a sentence for people where it is bad. Without effect once it drains."""
        async with self._changed:
            if not self._closed:
                self._serving[service_name] = serving
                self._reasons[service_name] = reason
                self._changed.notify_all()

    async def drain(self) -> None:
        """Everything is NOT_SERVING from now on."""
        async with self._changed:
            self._closed = True
            self._serving = dict.fromkeys(self._serving, False)
            self._changed.notify_all()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> health_pb2.HealthCheckResponse:
        """The state now; NOT_FOUND for a service that is not served here."""
        if request.service not in self._serving:
            raise SomaError(Reason.NOT_FOUND, f"service {request.service!r} is not served here")
        reason = self._reasons.get(request.service, "")
        if reason:
            context.set_trailing_metadata(((REASON_KEY, reason.encode("ascii", "replace").decode()),))
        return _Status(status=self._status(request.service))

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, _context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """The state now and at every change; a service not yet known is SERVICE_UNKNOWN. Ends with the server."""
        seen: int | None = None
        while True:
            async with self._changed:
                while not self._closed and self._status(request.service) == seen:
                    await self._changed.wait()
                status, closed = self._status(request.service), self._closed
            # Sent outside of the lock: a slow watcher holds up nobody.
            if status != seen:
                yield _Status(status=status)
            if closed:
                return
            seen = status

    def _status(self, service_name: str) -> int:
        serving = self._serving.get(service_name)
        if serving is None:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if serving else _Status.NOT_SERVING)
