"""How well the mesh is."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from soma_client.gen.services.degradation_service import DegradationServiceMethods
from soma_client.resuming import resumed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from soma_client.gen.soma.gateway import v1 as gateway_v1

_PATH = "/soma.gateway.v1.DegradationService/WatchStatus"


class Health(DegradationServiceMethods):
    """How well the mesh is."""

    async def watch_status(self) -> AsyncGenerator[gateway_v1.Status, None]:
        """Gives the status now, at each change and at least every 15 s; never ends by itself, a break included."""
        begin = super().watch_status
        async with aclosing(
            resumed(self._caller, _PATH, begin, is_new=lambda _: True, is_last=lambda _: False)
        ) as statuses:
            async for status in statuses:
                yield status
