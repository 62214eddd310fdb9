"""Handlers of the events of assets."""

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
    """Handles the events of assets. `erasure_marks` returns the port within the transaction of a connection."""

    def __init__(self, clock: Clock, erasure_marks: Callable[[asyncpg.Connection], ErasureMarks]) -> None:
        self._clock = clock
        self._erasure_marks = erasure_marks

    def handlers(self) -> Mapping[str, Handler]:
        """Returns the handlers by the type of their event."""
        return {facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned}

    async def asset_tombstoned(self, connection: asyncpg.Connection, event: Event) -> None:
        """Marks the asset as erased, so that `EraseQuotes` removes quotes of it from evaluations.

        It does not matter whether an administrator erased it or its last hold was released: its bytes are deleted.
        """
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        erased = ErasedAsset(event.tenant_id, asset.asset_id)
        await self._erasure_marks(connection).mark(erased, event.occurred_at, self._clock.now())
