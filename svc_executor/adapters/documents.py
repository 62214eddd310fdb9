"""Compares documents in child processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import soma_documents
from mesh.errors import Reason, SomaError
from soma_documents import ComposeError
from soma_providers.media.documents import input_files
from soma_providers.port import Failure, ProviderBusyError, ProviderError
from svc_executor.domain.documents import Change, ChangeKind, DocumentDiff

if TYPE_CHECKING:
    from soma_providers.port import Processes
    from svc_executor.domain.documents import Revision

_TIMEOUT_S = 45.0
_MEMORY_MB = 1_536
_REASONS = {
    Failure.INVALID_INPUT: Reason.FAILED_PRECONDITION,
    Failure.TIMEOUT: Reason.FAILED_PRECONDITION,
}


class ProcessDiffer:
    """A `Differ`."""

    def __init__(self, processes: Processes) -> None:
        self._pool = processes.pool("document_diff", memory_mb=_MEMORY_MB)

    async def __call__(self, tenant_id: str, old: Revision, new: Revision) -> DocumentDiff:
        try:
            return await self._pool.run(compare, old, new, tenant_id=tenant_id, time_s=_TIMEOUT_S)
        except ProviderBusyError as error:
            raise SomaError(Reason.OVERLOADED, error.message, retry_after_s=error.retry_after_s) from None
        except ProviderError as error:
            reason = _REASONS.get(error.reason, Reason.UNAVAILABLE)
            raise SomaError(reason, f"The documents cannot be compared: {error.message}") from None


def compare(old: Revision, new: Revision) -> DocumentDiff:
    """The differences; raise ProviderError for what can no longer be composed. A function for child processes."""
    try:
        rendered = soma_documents.compare(old.params, input_files(old.inputs), new.params, input_files(new.inputs))
    except ComposeError as error:
        raise ProviderError(Failure.INVALID_INPUT, f"the document can no longer be composed: {error}") from None
    found = rendered.difference
    changes = (
        Change(change.part, change.id, change.title, ChangeKind(change.kind.value), change.lines)
        for change in found.changes
    )
    return DocumentDiff(found.old_version, found.new_version, tuple(changes), found.truncated, rendered.markdown)
