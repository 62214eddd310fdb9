"""Client of the gateway: permissions of callers, and the degradation of the mesh."""

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

CACHE_TTL_S = 5.0
RETRY_DELAY_S = 1.0
"""Time until the next call after one that failed, in seconds."""
CALL_TIMEOUT_S = 1.0
"""A gateway that takes longer counts as unavailable, so that callers do not wait until their own deadline."""
MAX_CACHED = 10_000
RECONNECT_DELAY_S = 0.5

_log = get_logger(__name__)
_Key = tuple[str, str]


@dataclass
class _Entry:
    """Cached permissions, and in monotonic seconds when they were fetched and until when they are not fetched again."""

    permissions: Permissions
    fetched_at: float
    fresh_until: float


class GatewayPermissions:
    """Permissions by tenant and key, cached for `CACHE_TTL_S` seconds.

    An unknown tenant has none. While the gateway is unavailable the cached answer is used for `max_stale_s` seconds;
    after that, or without one, the call fails. A rejected key is never answered from the cache. Concurrent callers
    with the same key share one call.
    """

    def __init__(self, stub: PermissionServiceAsyncStub, clock: Clock, max_stale_s: float) -> None:
        self._stub = stub
        self._clock = clock
        self._max_stale_s = max_stale_s
        self._cache: OrderedDict[_Key, _Entry] = OrderedDict()
        self._in_flight: dict[_Key, asyncio.Task[Permissions]] = {}

    async def get(self, tenant_id: str, key_id: str) -> Permissions:
        """Returns the permissions of the current caller."""
        key = (tenant_id, key_id)
        cached = self._cache.get(key)
        if cached is not None and self._clock.monotonic() < cached.fresh_until:
            self._cache.move_to_end(key)
            return cached.permissions
        fetch = self._in_flight.get(key)
        if fetch is None:
            fetch = self._in_flight[key] = asyncio.create_task(self._fetch_shared(key), name="permissions")
            fetch.add_done_callback(partial(self._on_done, key))
        # A cancelled caller must not cancel the call that others wait for.
        return await asyncio.shield(fetch)

    def _on_done(self, key: _Key, fetch: asyncio.Task[Permissions]) -> None:
        del self._in_flight[key]
        if not fetch.cancelled():
            fetch.exception()  # marked as retrieved, since nobody may be waiting any more

    async def _fetch_shared(self, key: _Key) -> Permissions:
        """Fetches as the first caller, but without its deadline, since others wait for the answer too."""
        request = context.current()
        if request is None:
            return await self._fetch(key)
        with context.use(replace(request, deadline=None)):
            return await self._fetch(key)

    async def _fetch(self, key: _Key) -> Permissions:
        try:
            request = permission_service_pb2.GetEffectivePermissionsRequest()
            answer = await self._stub.GetEffectivePermissions(request, timeout=CALL_TIMEOUT_S)
            permissions = _permissions_from_proto(answer)
        except SomaError as error:
            if error.reason is not Reason.NOT_FOUND:
                return self._cached_or_raise(key, error)
            permissions = Permissions()
        now = self._clock.monotonic()
        self._cache[key] = _Entry(permissions, now, now + CACHE_TTL_S)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return permissions

    def _cached_or_raise(self, key: _Key, error: SomaError) -> Permissions:
        """Returns cached permissions that are not too old if the error is transient; raises the error otherwise."""
        now = self._clock.monotonic()
        cached = self._cache.get(key)
        if cached is None or not is_transient(error) or now - cached.fetched_at >= self._max_stale_s:
            self._cache.pop(key, None)
            raise error
        cached.fresh_until = min(now + RETRY_DELAY_S, cached.fetched_at + self._max_stale_s)
        return cached.permissions


def _permissions_from_proto(answer: permission_service_pb2.EffectivePermissions) -> Permissions:
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
    """The degradation level as the gateway streams it; UNKNOWN while there is no stream."""

    def __init__(self, stub: DegradationServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self.level = DegradationLevel.UNKNOWN

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads the stream until exit."""
        async with background(self._run, "degradation-feed", clock=self._clock):
            yield

    async def _run(self) -> None:
        while True:
            try:
                async for status in self._stub.WatchStatus(health_service_pb2.WatchStatusRequest()):
                    self.level = DegradationLevel(status.level)  # the numbers are the same
            except SomaError as error:
                if self.level is not DegradationLevel.UNKNOWN:
                    _log.warning("the status stream of the gateway ended", reason=error.reason.value)
            finally:
                self.level = DegradationLevel.UNKNOWN
            await self._clock.sleep(RECONNECT_DELAY_S)
