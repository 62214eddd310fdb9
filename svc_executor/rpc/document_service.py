"""DocumentService."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mesh.context import caller
from soma.executor.v1 import document_service_pb2 as pb
from soma.executor.v1 import document_service_pb2_grpc
from svc_executor.rpc import convert

if TYPE_CHECKING:
    import grpc.aio

    from svc_executor.app.diff_documents import DiffDocuments

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]


class DocumentServicer(document_service_pb2_grpc.DocumentServiceServicer):
    """Composed documents."""

    def __init__(self, diff: DiffDocuments) -> None:
        self._diff = diff

    async def DiffDocuments(self, request: pb.DiffDocumentsRequest, context: Context) -> pb.DiffDocumentsResponse:
        """Compare two revisions."""
        old, new = convert.revision_from_proto(request.old_revision), convert.revision_from_proto(request.new_revision)
        return convert.diff_to_proto(await self._diff(caller().tenant_id, old, new))
