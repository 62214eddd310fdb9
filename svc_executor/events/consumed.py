"""Handles the facts of other contexts: that assets are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma.events.v1 import facts_pb2
from svc_executor.domain.erasure import ErasedAsset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.event import Event
    from mesh.events.inbox import Handler
    from svc_executor.app.ports import AssetTexts


class AssetEventHandlers:
    """The handlers, by the type of their event. `texts` gives what jobs keep, in the transaction of a connection."""

    def __init__(self, clock: Clock, texts: Callable[[asyncpg.Connection], AssetTexts]) -> None:
        self._clock = clock
        self._texts = texts

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers for the consumer."""
        return {facts_pb2.AssetTombstoned.DESCRIPTOR.full_name: self.asset_tombstoned}

    async def asset_tombstoned(self, connection: asyncpg.Connection, event: Event) -> None:
        """Marks the asset as gone, for `EraseTexts` to remove what jobs keep of it.

        Whether an administrator erased it or the last holder gave it up: its bytes are gone either way.
        """
        asset = facts_pb2.AssetTombstoned.FromString(event.payload).asset
        erased = ErasedAsset(event.tenant_id, asset.asset_id, asset.origin.job_id, event.occurred_at)
        await self._texts(connection).mark(erased, self._clock.now())
