"""Takes in that assets are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.events.v1 import facts_pb2
from svc_critic.domain.erasure import ErasedAsset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.event import Event
    from mesh.events.inbox import Handler
    from svc_critic.app.ports import ErasureMarks


class AssetEventHandlers:
    """The handlers, by the type of their event. `marks` gives the marks in the transaction of a connection."""

    def __init__(self, clock: Clock, marks: Callable[[asyncpg.Connection], ErasureMarks]) -> None:
        self._clock = clock
        self._marks = marks

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for the consumer."""
        return {facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned}

    async def asset_tombstoned(self, connection: asyncpg.Connection, event: Event) -> None:
        """Marks the asset as gone, for `EraseQuotes` to remove what verdicts quote of it.

        Whether an administrator erased it or the last holder gave it up: its bytes are gone either way.
        """
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        erased = ErasedAsset(event.tenant_id, asset.asset_id)
        await self._marks(connection).mark(erased, event.occurred_at, self._clock.now())
