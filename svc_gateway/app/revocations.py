"""The set of revoked keys in memory: what this process refuses and tells everyone else to refuse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import SomaError
from mesh.lifecycle import background
from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from svc_gateway.domain.keys import KeyStore, Revocation

POLL_S = 0.5
"""Reads new revocations at least this often: a notification may be lost, and a revocation counts within a second."""
RENEW_S = 60.0
"""Tells watchers at least this often when the set was read, in seconds."""
OVERLAP = timedelta(minutes=10)
"""How far each read goes back behind the last one: clocks differ, and transactions commit late."""
_RETRY_S = 0.5


@dataclass(frozen=True)
class Change:
    """Key ids that are revoked; `snapshot` is true for the whole set.

    `current` is the whole set after the change, and `as_of` is when it was read.
    """

    snapshot: bool
    revocations: Sequence[Revocation]
    current: Mapping[str, Revocation]
    as_of: datetime


class RevokedKeys:
    """Follows the store. Call it to ask about a key id."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._current: Mapping[str, Revocation] = {}
        self._as_of: datetime | None = None
        self._announced: datetime | None = None
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
        """Add what the store has. Nothing is taken back before it expires: another reader may have seen more.

        The set may be large, so it is made anew only for keys that are not in it yet; those that have expired, which
        nothing asks for any more, leave it then, or when watchers are next told of a reading.
        """
        now = self._clock.now()
        since = None if self._as_of is None else self._as_of - OVERLAP
        found = await self._store.revocations(now, since)
        async with self._changed:
            self._as_of = now if self._as_of is None else max(now, self._as_of)
            added = {item.key_id: item for item in found if item.key_id not in self._current}
            due = self._announced is None or self._as_of - self._announced >= timedelta(seconds=RENEW_S)
            if not added and not due:
                return
            known = {key_id: item for key_id, item in self._current.items() if item.expires_at > now}
            changed = bool(added) or len(known) < len(self._current)
            if changed:
                self._current = known | added
            self._announced = self._as_of
            self._changed.notify_all()
        if changed:
            for tell in self._listeners:
                tell(self.ids)

    async def watch(self) -> AsyncIterator[Change]:
        """The whole set, then each addition, and from time to time when it was read last."""
        async with self._changed:
            while self._as_of is None:
                await self._changed.wait()
        known, announced = self._current, self._announced
        yield Change(snapshot=True, revocations=[*known.values()], current=known, as_of=self._as_of)
        while True:
            async with self._changed:
                while self._current is known and self._announced == announced:
                    await self._changed.wait()
                current, announced, as_of = self._current, self._announced, self._as_of
            added = [item for key_id, item in current.items() if key_id not in known]
            known = current
            yield Change(snapshot=False, revocations=added, current=current, as_of=as_of)

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
                async with asyncio.timeout(POLL_S):
                    await self._stale.wait()
            except TimeoutError:
                continue
