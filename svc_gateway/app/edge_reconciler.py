"""Keeps the edge as it should be: what it trusts, which keys verify, which are revoked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from svc_gateway.app.ports import Sources
    from svc_gateway.domain.edge_state import EdgeState

REFRESH_S = 2.0
"""Certificates and signing keys are looked at this often, in seconds; revocations come at once."""
PAUSE_S = 0.5
"""The least time between the beginnings of two builds, in seconds: each writes all revoked keys."""
BUILD_DELAY_S = 0.1
"""How long after a revocation the build begins, in seconds: the call that revoked is answered first."""
PAUSE_FACTOR = 10
"""The next build begins only after so many times as long as one took.

With very many keys the edge learns of a revocation later; services refuse the key at once.
"""
Built = TypeVar("Built")
_log = get_logger("svc_gateway")


class EdgeReconciler(Generic[Built]):
    """Publishes a new state whenever something that it is made of changes.

    It is built in a thread. Keys that are revoked within the pause after a build are all in the next one.
    """

    def __init__(
        self,
        state: EdgeState,
        sources: Sources,
        revoked: Callable[[], frozenset[str]],
        *,
        build: Callable[[EdgeState], Built],
        publish: Callable[[Built], None],
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
        """Look at the revoked keys now, or once the pause is over."""
        self._stale.set()

    async def refresh(self) -> None:
        """Take in certificates and keys as they are now."""
        # While files are being replaced, the last ones stay in use.
        trust, jwks = self._state.trust, self._state.credentials.jwks
        try:
            trust = self._sources.trust()
        except OSError as error:
            _log.warning("certificates not read", error=type(error).__name__)
        try:
            jwks = self._sources.jwks()
        except (OSError, ValueError) as error:
            _log.warning("signing keys not read", error=type(error).__name__)
        credentials = replace(self._state.credentials, jwks=jwks, revoked=self._revoked())
        self._state = replace(self._state, credentials=credentials, trust=trust)
        if self._state != self._published:
            building = self._state
            self._publish(await asyncio.to_thread(self._build, building))
            self._published = building

    async def run(self) -> None:
        """Refresh for ever: from time to time, and when keys were revoked."""
        while True:
            began = self._clock.monotonic()
            self._stale.clear()
            await self.refresh()
            took = self._clock.monotonic() - began
            await self._clock.sleep(max(PAUSE_S - took, PAUSE_FACTOR * took))
            try:
                async with asyncio.timeout(REFRESH_S - PAUSE_S):
                    await self._stale.wait()
            except TimeoutError:
                continue
            await self._clock.sleep(BUILD_DELAY_S)
