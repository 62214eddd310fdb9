"""Client of the registry: its stream of capabilities and ladders."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lifecycle import background
from mesh.logging import get_logger
from soma.registry.v1 import capability_service_pb2
from svc_selector.adapters.peers.capabilities import CapabilityReader, ladders_from_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceAsyncStub
    from svc_selector.adapters.catalog import Catalog, LadderKey
    from svc_selector.domain.model import Candidate, Ladder

RECONNECT_DELAY_S = 0.5
HEARTBEAT_TIMEOUT_S = 45.0
"""Three times the longest interval between messages of the registry, in seconds."""

_log = get_logger(__name__)


class RegistryWatch:
    """Applies the registry's stream to the catalog; resumes an interrupted stream, or starts with a snapshot again.

    The catalog is stale from the end of a stream until a message of the next one is marked complete: the end of a
    snapshot, a change, or a heartbeat. A registry that has sent heartbeats and then sends nothing for
    `HEARTBEAT_TIMEOUT_S` seconds is reconnected to.
    """

    def __init__(self, stub: CapabilityServiceAsyncStub, catalog: Catalog, clock: Clock) -> None:
        self._stub = stub
        self._catalog = catalog
        self._clock = clock
        self._reader = CapabilityReader()
        self._token = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads the stream until exit."""
        async with background(self._run, "registry-feed", clock=self._clock):
            yield

    async def failure_reason(self) -> str:
        """Returns why the catalog is stale; "" when it is not."""
        since = self._catalog.stale_since
        return f"no stream of the registry since {since:%Y-%m-%dT%H:%M:%SZ}" if since is not None else ""

    async def _run(self) -> None:
        while True:
            try:
                await self._read_stream()
            except (SomaError, TimeoutError) as error:
                if self._catalog.stale_since is None:
                    _log.warning("the stream of the registry ended", reason=str(error) or "no heartbeat")
            except Exception:
                # The state may be why it failed, so the next stream starts with a snapshot.
                self._token = ""
                raise
            finally:
                if self._catalog.stale_since is None:
                    self._catalog.stale_since = self._clock.now()
            await self._clock.sleep(RECONNECT_DELAY_S)

    async def _read_stream(self) -> None:
        request = capability_service_pb2.WatchCapabilitiesRequest(resume_token=self._token)
        snapshot, sends_heartbeats = _SnapshotBuffer(), False
        async with asyncio.timeout(None) as timeout:
            async for message in self._stub.WatchCapabilities(request):
                sends_heartbeats = sends_heartbeats or message.heartbeat
                if sends_heartbeats:  # a registry of an older version sends none
                    timeout.reschedule(asyncio.get_running_loop().time() + HEARTBEAT_TIMEOUT_S)
                await self._apply(message, snapshot)

    async def _apply(
        self, message: capability_service_pb2.WatchCapabilitiesResponse, snapshot: _SnapshotBuffer
    ) -> None:
        changes = await self._reader.read(message.capabilities)
        ladders = ladders_from_proto(message.ladders)
        if message.snapshot:
            snapshot.candidates += changes.candidates
            snapshot.ladders |= ladders
            if not message.complete:
                return
            self._catalog.replace_all(snapshot.candidates, snapshot.ladders)
            self._reader.retain_only(snapshot.candidates)
            snapshot.candidates, snapshot.ladders = [], {}
        elif changes.candidates or changes.deleted or ladders:
            self._catalog.update(changes.candidates, ladders, changes.deleted)
        if message.complete:
            self._catalog.stale_since = None
            self._token = message.resume_token


@dataclass
class _SnapshotBuffer:
    """The messages of a snapshot so far."""

    candidates: list[Candidate] = field(default_factory=list)
    ladders: dict[LadderKey, Ladder] = field(default_factory=dict)
