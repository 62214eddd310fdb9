"""Keeps the edge's configuration current: its certificates, the keys that verify tokens, the revoked keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from svc_gateway.app.ports import EdgeSources
    from svc_gateway.domain.edge_state import EdgeState

REFRESH_S = 2.0
"""Interval of reading certificates and signing keys, in seconds; revocations come at once."""
PAUSE_S = 0.5
"""Minimum time between the starts of two builds, in seconds: each writes all revoked keys."""
BUILD_DELAY_S = 0.1
"""Delay of a build after a revocation, in seconds: the call that revoked is answered first."""
PAUSE_FACTOR = 10
"""The pause after a build is at least so many times as long as the build.

With very many keys the edge learns of a revocation later; services refuse the key at once.
"""
BuiltT = TypeVar("BuiltT")
_log = get_logger("svc_gateway")


class EdgeReconciler(Generic[BuiltT]):
    """Builds and publishes the edge's configuration whenever its state changes.

    It is built in a thread. Keys that are revoked within the pause after a build are all in the next one.
    """

    def __init__(
        self,
        state: EdgeState,
        sources: EdgeSources,
        revoked: Callable[[], frozenset[str]],
        *,
        build: Callable[[EdgeState], BuiltT],
        publish: Callable[[BuiltT], None],
        clock: Clock,
    ) -> None:
        self._state = state
        self._sources = sources
        self._revoked = revoked
        self._build = build
        self._publish = publish
        self._clock = clock
        self._published: EdgeState | None = None
        self._stale = asyncio.Event()

    def wake(self) -> None:
        """Requests a refresh, now or once the pause is over."""
        self._stale.set()

    async def refresh(self) -> None:
        """Reads certificates and keys, and publishes the state when it has changed."""
        # While files are being replaced, the last ones stay in use.
        edge_tls, jwks = self._state.tls, self._state.credentials.jwks
        try:
            edge_tls = self._sources.tls()
        except OSError as error:
            _log.warning("certificates not read", error=type(error).__name__)
        try:
            jwks = self._sources.jwks()
        except (OSError, ValueError) as error:
            _log.warning("signing keys not read", error=type(error).__name__)
        credentials = replace(self._state.credentials, jwks=jwks, revoked=self._revoked())
        self._state = replace(self._state, credentials=credentials, tls=edge_tls)
        if self._state != self._published:
            building = self._state
            self._publish(await asyncio.to_thread(self._build, building))
            self._published = building

    async def run(self) -> None:
        """Refreshes forever: at an interval, and when keys were revoked."""
        while True:
            started = self._clock.monotonic()
            self._stale.clear()
            await self.refresh()
            took = self._clock.monotonic() - started
            await self._clock.sleep(max(PAUSE_S - took, PAUSE_FACTOR * took))
            try:
                async with asyncio.timeout(REFRESH_S - PAUSE_S):
                    await self._stale.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(BUILD_DELAY_S)
