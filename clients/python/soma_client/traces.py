"""Decision Traces, as they are and as they grow."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from soma_client.gen.services.trace_service import TraceServiceMethods
from soma_client.resuming import resumed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from soma_client.gen.soma.provenance import v1 as provenance_v1

_PATH = "/soma.provenance.v1.TraceService/WatchTrace"


class Traces(TraceServiceMethods):
    """Decision Traces."""

    async def watch(self, id: str) -> AsyncGenerator[provenance_v1.TraceEvent, None]:  # noqa: A002
        """Gives the parts of a job's trace as they change, the whole trace at last; heartbeats are left out.

        A stream that breaks is opened again and then begins with all that is known, so that parts may come twice.
        """

        def begin() -> AsyncGenerator[provenance_v1.TraceEvent, None]:
            return super(Traces, self).watch(id)

        async with aclosing(resumed(self._caller, _PATH, begin, is_new=_is_change, is_last=_is_whole)) as events:
            async for event in events:
                yield event


def _is_change(event: provenance_v1.TraceEvent) -> bool:
    parts = (event.job, event.step, event.totals, event.trace, event.outline)
    return any(part is not None for part in parts)


def _is_whole(event: provenance_v1.TraceEvent) -> bool:
    return event.trace is not None
