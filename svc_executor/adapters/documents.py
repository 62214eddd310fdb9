"""Compares documents in child processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_executor.adapters.providers.composer.revisions import compare
from svc_executor.domain.provider import Failure, ProviderBusyError, ProviderError

if TYPE_CHECKING:
    from svc_executor.domain.documents import RenderedDiff, Revision
    from svc_executor.domain.processes import Processes

_TIME_S = 45.0
_MEMORY_MB = 1_536
_REASONS = {
    Failure.INVALID_INPUT: Reason.FAILED_PRECONDITION,
    Failure.TIMEOUT: Reason.FAILED_PRECONDITION,
}


class ProcessDiffer:
    """A `Differ`."""

    def __init__(self, processes: Processes) -> None:
        self._pool = processes.pool("document_diff", memory_mb=_MEMORY_MB)

    async def __call__(self, tenant_id: str, old: Revision, new: Revision) -> RenderedDiff:
        """See the port."""
        try:
            return await self._pool.run(
                compare, old.params, old.inputs, new.params, new.inputs, tenant_id=tenant_id, time_s=_TIME_S
            )
        except ProviderBusyError as error:
            raise SomaError(Reason.OVERLOADED, error.message, retry_after_s=error.retry_after_s) from None
        except ProviderError as error:
            reason = _REASONS.get(error.reason, Reason.UNAVAILABLE)
            raise SomaError(reason, f"The documents cannot be compared: {error.message}") from None
