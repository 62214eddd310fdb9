"""Keeps the edge as it should be: what it trusts, which keys verify, which are revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from svc_gateway.domain.edge import EdgeState, Trust

# Certificates and signing keys are looked at this often; revocations come at once.
REFRESH_S = 2.0


class Sources(Protocol):
    """What of the edge's state may change while it runs."""

    def trust(self) -> Trust:
        """The certificates now; OSError while they cannot be read."""

    def jwks(self) -> str:
        """The public keys now, a JSON Web Key Set."""


class EdgeKeeper:
    """Publishes a new state whenever something that it is made of changes."""

    def __init__(self, state: EdgeState, sources: Sources, publish: Callable[[EdgeState], None], clock: Clock) -> None:
        self._state = state
        self._sources = sources
        self._publish = publish
        self._clock = clock

    @property
    def state(self) -> EdgeState:
        """The state published last."""
        return self._state

    def revoke(self, key_ids: frozenset[str]) -> None:
        """Refuse exactly these keys from now on."""
        self._become(replace(self._state, credentials=replace(self._state.credentials, revoked=key_ids)))

    def refresh(self) -> None:
        """Take in certificates and keys as they are now."""
        credentials = replace(self._state.credentials, jwks=self._sources.jwks())
        try:
            trust = self._sources.trust()
        except OSError as error:
            # While files are being replaced, the last ones stay in use.
            get_logger("svc_gateway").warning("certificates not read", error=type(error).__name__)
            trust = self._state.trust
        self._become(replace(self._state, credentials=credentials, trust=trust))

    async def run(self) -> None:
        """Refresh forever."""
        while True:
            await self._clock.sleep(REFRESH_S)
            self.refresh()

    def _become(self, state: EdgeState) -> None:
        if state != self._state:
            self._state = state
            self._publish(state)
