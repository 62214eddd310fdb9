"""What the gateway tells the selector: what callers may use, and the state of the mesh."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from mesh import context
from mesh.degradation import DegradationLevel
from mesh.errors import Reason, SomaError, is_transient
from mesh.lifecycle import background
from mesh.logging import get_logger
from soma.gateway.v1 import health_service_pb2, permission_service_pb2
from svc_selector.domain.permissions import Permissions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from soma.gateway.v1.health_service_pb2_grpc import DegradationServiceAsyncStub
    from soma.gateway.v1.permission_service_pb2_grpc import PermissionServiceAsyncStub

FRESH_S = 5.0
RETRY_S = 1.0
CALL_TIMEOUT_S = 1.0
"""A gateway that takes longer counts as away, so that no caller waits for it until its own deadline."""
MAX_CACHED = 10_000
PAUSE_S = 0.5

_log = get_logger(__name__)
_Key = tuple[str, str]


@dataclass
class _Entry:
    """Permissions as last heard, in monotonic seconds: when that was, and until when nobody asks again."""

    permissions: Permissions
    fetched_at: float
    fresh_until: float


class GatewayPermissions:
    """What callers may use, asked once in `FRESH_S` seconds for each tenant and key.

    An unknown tenant has none. While the gateway is away the last answer holds for `max_stale_s` seconds; then, and
    where there is none, the call fails. The gateway's refusal of a key holds at once. Callers of one key share a call.
    """

    def __init__(self, stub: PermissionServiceAsyncStub, clock: Clock, max_stale_s: float) -> None:
        self._stub = stub
        self._clock = clock
        self._max_stale_s = max_stale_s
        self._cache: OrderedDict[_Key, _Entry] = OrderedDict()
        self._in_flight: dict[_Key, asyncio.Task[Permissions]] = {}

    async def of(self, tenant_id: str, key_id: str) -> Permissions:
        """The permissions of the caller being served."""
        key = (tenant_id, key_id)
        cached = self._cache.get(key)
        if cached is not None and self._clock.monotonic() < cached.fresh_until:
            self._cache.move_to_end(key)
            return cached.permissions
        asking = self._in_flight.get(key)
        if asking is None:
            asking = self._in_flight[key] = asyncio.create_task(self._fetch_for_all(key), name="permissions")
            asking.add_done_callback(partial(self._on_done, key))
        # One caller that gives up does not take the answer from the others.
        return await asyncio.shield(asking)

    def _on_done(self, key: _Key, asking: asyncio.Task[Permissions]) -> None:
        del self._in_flight[key]
        if not asking.cancelled():
            asking.exception()  # told to whoever still waits, and seen where nobody does

    async def _fetch_for_all(self, key: _Key) -> Permissions:
        """Ask as the caller that came first, but not within its deadline, since others use the answer."""
        request = context.current()
        if request is None:
            return await self._fetch(key)
        with context.use(replace(request, deadline=None)):
            return await self._fetch(key)

    async def _fetch(self, key: _Key) -> Permissions:
        try:
            request = permission_service_pb2.GetEffectivePermissionsRequest()
            answer = await self._stub.GetEffectivePermissions(request, timeout=CALL_TIMEOUT_S)
            permissions = _permissions_from(answer)
        except SomaError as error:
            if error.reason is not Reason.NOT_FOUND:
                return self._cached_or_raise(key, error)
            permissions = Permissions()
        now = self._clock.monotonic()
        self._cache[key] = _Entry(permissions, now, now + FRESH_S)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return permissions

    def _cached_or_raise(self, key: _Key, error: SomaError) -> Permissions:
        """The last answer where it may still hold; raises the error otherwise."""
        now = self._clock.monotonic()
        cached = self._cache.get(key)
        if cached is None or not is_transient(error) or now - cached.fetched_at >= self._max_stale_s:
            self._cache.pop(key, None)
            raise error
        cached.fresh_until = min(now + RETRY_S, cached.fetched_at + self._max_stale_s)
        return cached.permissions


def _permissions_from(answer: permission_service_pb2.EffectivePermissions) -> Permissions:
    return Permissions(
        plan=answer.plan,
        denied_providers=tuple(answer.denied_providers),
        denied_tools=tuple(answer.denied_tools),
        max_cost_tier=answer.max_cost_tier,
        classification_floor=answer.data_classification_floor,
        personas=tuple(answer.personas),
        capsules=tuple(answer.capsules),
    )


class GatewayDegradation:
    """The mesh's level as the gateway streams it; UNKNOWN while it is not heard."""

    def __init__(self, stub: DegradationServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self.level = DegradationLevel.UNKNOWN

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the stream until left."""
        async with background(self._run, "degradation-feed", clock=self._clock):
            yield

    async def _run(self) -> None:
        while True:
            try:
                async for status in self._stub.WatchStatus(health_service_pb2.WatchStatusRequest()):
                    self.level = DegradationLevel(status.level)  # the numbers are the same
            except SomaError as error:
                if self.level is not DegradationLevel.UNKNOWN:
                    _log.warning("the gateway's status is not heard", reason=error.reason.value)
            finally:
                self.level = DegradationLevel.UNKNOWN
            await self._clock.sleep(PAUSE_S)
