"""Works on documents that compose_document steps made."""

# Generated from protos/soma/executor/v1/document_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.executor import v1 as executor_v1


class DocumentServiceMethods:
    """Works on documents that compose_document steps made."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def diff_documents(
        self,
        old_revision: executor_v1.DocumentRevision,
        new_revision: executor_v1.DocumentRevision,
        *,
        timeout: float | None = None,
    ) -> executor_v1.DiffDocumentsResponse:
        """Compares two revisions of a document, text and figures. Reads only; equal input gives an equal
        answer.

        Args:
            old_revision: Older revision. Required.
            new_revision: Newer revision. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = executor_v1.DiffDocumentsRequest(old_revision=old_revision, new_revision=new_revision)
        return await self._caller.unary(
            "/soma.executor.v1.DocumentService/DiffDocuments", request, executor_v1.DiffDocumentsResponse, timeout
        )
