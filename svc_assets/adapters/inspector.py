"""Inspection of bodies in threads and child processes, so that it does not block other requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.processes import ProcessEndedError, ResourceLimitError, TimeLimitError
from svc_assets.adapters.content_checks import ContentResult, inspect_content, is_parsed, sniff
from svc_assets.domain.model import DetectedType, InspectionResult
from svc_assets.domain.rules import normalize_media_type

if TYPE_CHECKING:
    from mesh.processes import ProcessPool
    from svc_assets.app.ports import Spool

MAX_THREAD_BYTES = 64 * 1024
"""Size up to which inspecting a body that no library parses takes a thread a few milliseconds at most."""


class ProcessInspector:
    """Inspects small bodies that no library parses in a thread, others in a child process with limits."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool

    async def inspect(self, tenant_id: str, spool: Spool) -> InspectionResult:
        """Detects the type of the bytes, and whether they must be rejected; a body that exceeds the limits must be."""
        result = await self._inspect_content(tenant_id, spool)
        detected = DetectedType(normalize_media_type(result.media_type), result.format)
        return InspectionResult(detected, result.reason, result.check)

    async def _inspect_content(self, tenant_id: str, spool: Spool) -> ContentResult:
        content, path = spool.content, spool.path
        if not path and len(content) <= MAX_THREAD_BYTES and not is_parsed(sniff(content)[0]):
            return await asyncio.to_thread(inspect_content, content, "")
        try:
            try:
                return await self._pool.run(inspect_content, content, path, tenant_id=tenant_id)
            except ProcessEndedError:  # perhaps the system was out of memory: retry once
                return await self._pool.run(inspect_content, content, path, tenant_id=tenant_id)
        except (TimeLimitError, ResourceLimitError, ProcessEndedError):
            return ContentResult("application/octet-stream", "bin", "it takes too much to examine", "limits")
