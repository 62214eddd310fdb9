"""The audit chain of a tenant."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from soma_client.gen.google.api import HttpBody
from soma_client.gen.services.audit_service import AuditServiceMethods
from soma_client.gen.soma.provenance import v1 as provenance_v1

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Audit(AuditServiceMethods):
    """The audit chain of a tenant."""

    async def export(self, *, from_sequence: int = 0, platform: bool = False) -> AsyncGenerator[bytes, None]:
        """Gives entries as JSON lines, oldest first, in pieces that may end within a line. Raises CallError."""
        request = provenance_v1.ExportAuditRequest(from_sequence=from_sequence, platform=platform)
        path = "/soma.provenance.v1.AuditService/ExportAudit"
        async with aclosing(self._caller.stream(path, request, HttpBody)) as pieces:
            async for piece in pieces:
                yield piece.data
