"""The registry's capabilities as they are streamed to the selector."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lifecycle import background
from mesh.logging import get_logger
from soma.registry.v1 import capability_service_pb2
from svc_selector.adapters.peers.capabilities import CapabilityReader, ladders_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceAsyncStub
    from svc_selector.adapters.catalog import Catalog, LadderKey
    from svc_selector.domain.model import Candidate, Ladder

PAUSE_S = 0.5
SILENCE_S = 45.0
"""Three times the longest that the registry may be silent, in seconds."""

_log = get_logger(__name__)


class RegistryFeed:
    """Keeps the catalogue true to the registry's stream; resumes after a cut, starts anew where it cannot.

    The catalogue is stale from the end of a stream, however it came, until a message of the next one says that the
    view is whole: the end of a snapshot, a change, or a heartbeat where nothing changed. A registry that sends
    heartbeats and then is silent for `SILENCE_S` seconds is given up like one that went away.
    """

    def __init__(self, stub: CapabilityServiceAsyncStub, catalog: Catalog, clock: Clock) -> None:
        self._stub = stub
        self._catalog = catalog
        self._clock = clock
        self._reader = CapabilityReader()
        self._token = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the stream until left."""
        async with background(self._run, "registry-feed", clock=self._clock):
            yield

    async def failure_reason(self) -> str:
        """Why the view is not current; "" when it is."""
        since = self._catalog.stale_since
        return f"the registry was not heard since {since:%Y-%m-%dT%H:%M:%SZ}" if since is not None else ""

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (SomaError, TimeoutError) as error:
                if self._catalog.stale_since is None:
                    _log.warning("the registry is not heard", reason=str(error) or "no heartbeat")
            except Exception:
                # A defect may lie in what is resumed from, so the next stream starts with a snapshot.
                self._token = ""
                raise
            finally:
                if self._catalog.stale_since is None:
                    self._catalog.stale_since = self._clock.now()
            await self._clock.sleep(PAUSE_S)

    async def _follow(self) -> None:
        request = capability_service_pb2.WatchCapabilitiesRequest(resume_token=self._token)
        whole, sends_heartbeats = _SnapshotBuffer(), False
        async with asyncio.timeout(None) as silence:
            async for message in self._stub.WatchCapabilities(request):
                sends_heartbeats = sends_heartbeats or message.heartbeat
                if sends_heartbeats:  # a registry of before sends none and may be silent
                    silence.reschedule(asyncio.get_running_loop().time() + SILENCE_S)
                await self._apply(message, whole)

    async def _apply(self, message: capability_service_pb2.WatchCapabilitiesResponse, whole: _SnapshotBuffer) -> None:
        changes = await self._reader.read(message.capabilities)
        ladders = ladders_from(message.ladders)
        if message.snapshot:
            whole.candidates += changes.candidates
            whole.ladders |= ladders
            if not message.complete:
                return
            self._catalog.replace_all(whole.candidates, whole.ladders)
            self._reader.retain_only(whole.candidates)
            whole.candidates, whole.ladders = [], {}
        elif changes.candidates or changes.deleted or ladders:
            self._catalog.update(changes.candidates, ladders, changes.deleted)
        if message.complete:
            self._catalog.stale_since = None
            self._token = message.resume_token


@dataclass
class _SnapshotBuffer:
    """A snapshot as far as it was received."""

    candidates: list[Candidate] = field(default_factory=list)
    ladders: dict[LadderKey, Ladder] = field(default_factory=dict)
