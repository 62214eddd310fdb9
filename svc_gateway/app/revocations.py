"""The set of revoked keys in memory: what this process refuses and tells everyone else to refuse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lifecycle import background
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from mesh.clock import Clock
    from svc_gateway.domain.keys import KeyStore, Revocation

# Reads anew at least this often: expired keys leave the set, and a lost notification is made good.
REFRESH_S = 30.0
_RETRY_S = 0.5


@dataclass(frozen=True)
class Change:
    """Key ids that are revoked; `snapshot` is true for the whole set."""

    snapshot: bool
    revocations: Sequence[Revocation]


class RevokedKeys:
    """Follows the store. Call it to ask about a key id."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._current: Mapping[str, Revocation] = {}
        self._stale = asyncio.Event()
        self._changed = asyncio.Condition()
        self._listeners: list[Callable[[frozenset[str]], None]] = []

    def __call__(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._current

    @property
    def ids(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._current)

    def on_change(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Call with the whole set after every change."""
        self._listeners.append(tell)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the set, and keep it current while entered."""
        async with self._store.listen(self._stale.set):
            await self.refresh()
            async with background(self._follow, "revocations", clock=self._clock):
                yield

    async def refresh(self) -> None:
        """Add what the store has. Nothing is taken back before it expires: another reader may have seen more."""
        found = {item.key_id: item for item in await self._store.revocations(self._clock.now())}
        async with self._changed:
            now = self._clock.now()
            known = {key_id: item for key_id, item in self._current.items() if item.expires_at > now}
            merged = known | found
            if merged.keys() == self._current.keys():
                return
            self._current = merged
            self._changed.notify_all()
        for tell in self._listeners:
            tell(self.ids)

    async def watch(self) -> AsyncIterator[Change]:
        """The whole set, then each addition."""
        known = self._current
        yield Change(snapshot=True, revocations=[*known.values()])
        while True:
            async with self._changed:
                while self._current is known:
                    await self._changed.wait()
                current = self._current
            added = [item for key_id, item in current.items() if key_id not in known]
            known = current
            if added:
                yield Change(snapshot=False, revocations=added)

    async def _follow(self) -> None:
        while True:
            self._stale.clear()
            try:
                await self.refresh()
            except SomaError as error:
                get_logger("svc_gateway").warning("revocations not read", reason=error.reason.value)
                await self._clock.sleep(_RETRY_S)
                continue
            try:
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            except TimeoutError:
                continue
