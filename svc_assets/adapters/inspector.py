"""Has bodies examined where it cannot hold up others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.processes import ProcessEndedError, ResourceLimitError, TimeLimitError
from svc_assets.adapters.content_checks import Finding, examine, is_parsed, sniff
from svc_assets.domain.model import DetectedType, InspectionResult
from svc_assets.domain.rules import base_type

if TYPE_CHECKING:
    from mesh.processes import ProcessPool
    from svc_assets.app.ports import Spool

SMALL = 64 * 1024
"""Bodies that a thread examines in a few milliseconds whatever is in them, unless a library parses them."""


class ProcessInspector:
    """Examines small bodies that no library parses in a thread, others in a child process with limits."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool

    async def examine(self, tenant_id: str, spool: Spool) -> InspectionResult:
        """Tells what the bytes are and whether they may be stored; a body that exceeds the limits may not."""
        found = await self._examine(tenant_id, spool)
        return InspectionResult(DetectedType(base_type(found.media_type), found.format), found.why, found.check)

    async def _examine(self, tenant_id: str, spool: Spool) -> Finding:
        content, path = spool.content, spool.path
        if not path and len(content) <= SMALL and not is_parsed(sniff(content)[0]):
            return await asyncio.to_thread(examine, content, "")
        try:
            try:
                return await self._pool.run(examine, content, path, tenant_id=tenant_id)
            except ProcessEndedError:  # perhaps for want of memory in the system: once more
                return await self._pool.run(examine, content, path, tenant_id=tenant_id)
        except (TimeLimitError, ResourceLimitError, ProcessEndedError):
            return Finding("application/octet-stream", "bin", "it takes too much to examine", "limits")
