"""DocumentService."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mesh.context import caller
from mesh.rpc.enums import EnumCodec
from soma.executor.v1 import document_service_pb2 as pb
from soma.executor.v1 import document_service_pb2_grpc
from svc_executor.domain.documents import RevisionRef

if TYPE_CHECKING:
    import grpc.aio

    from svc_executor.app.diff_documents import DiffDocuments
    from svc_executor.domain.documents import Change, DocumentDiff

    Context: TypeAlias = grpc.aio.ServicerContext[object, object]

_CHANGE_KINDS = EnumCodec(pb.DocumentChangeKind)


class DocumentServicer(document_service_pb2_grpc.DocumentServiceServicer):
    """Composed documents."""

    def __init__(self, diff: DiffDocuments) -> None:
        self._diff = diff

    async def DiffDocuments(self, request: pb.DiffDocumentsRequest, context: Context) -> pb.DiffDocumentsResponse:
        """Compare two revisions."""
        old, new = _ref_from_proto(request.old_revision), _ref_from_proto(request.new_revision)
        return _diff_to_proto(await self._diff(caller().tenant_id, old, new))


def _ref_from_proto(revision: pb.DocumentRevision) -> RevisionRef:
    return RevisionRef(revision.job_id, revision.step_id)


def _diff_to_proto(difference: DocumentDiff) -> pb.DiffDocumentsResponse:
    return pb.DiffDocumentsResponse(
        old_version=difference.old_version,
        new_version=difference.new_version,
        changes=[_change_to_proto(change) for change in difference.changes],
        truncated=difference.truncated,
        markdown=difference.markdown,
    )


def _change_to_proto(change: Change) -> pb.DocumentChange:
    kind = _CHANGE_KINDS.number(change.kind.name)
    return pb.DocumentChange(part=change.part, id=change.id, title=change.title, kind=kind, lines=change.lines)
