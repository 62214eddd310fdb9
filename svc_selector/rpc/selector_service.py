"""SelectorService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.errors import Reason, SomaError
from mesh.rpc.paging import page_size, page_token_id
from soma.selector.v1 import selector_service_pb2 as pb
from soma.selector.v1.selection_pb2 import Selection, SubjectContext
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceServicer
from svc_selector.rpc.candidates import judgement_to_proto
from svc_selector.rpc.convert import dry_run_from, selection_request_from, subject_from

if TYPE_CHECKING:
    import grpc.aio

    from soma.registry.v1.capability_service_pb2 import FindCandidatesRequest, FindCandidatesResponse
    from soma.selector.v1.selection_pb2 import SelectRequest
    from svc_selector.app import Selections
    from svc_selector.domain.model import SelectionRequest
    from svc_selector.rpc.facts import SelectionFacts


class SelectorServicer(SelectorServiceServicer):
    """Serves selections."""

    def __init__(self, selector: Selections, facts: SelectionFacts) -> None:
        self._selector = selector
        self._facts = facts

    async def Select(self, request: SelectRequest, context: grpc.aio.ServicerContext) -> Selection:
        """Chooses a capability; a repeated request id answers with the first choice."""
        who = caller()
        selection_request, subject = await selection_request_from(request), subject_from(request.subject_context, who)
        if not request.request_id or request.dry_run:
            return self._facts.message(await self._selector.select(selection_request, subject))
        earlier = await self._earlier(who.tenant_id, selection_request)
        if earlier is not None:
            return earlier
        try:
            decision = await self._selector.select(selection_request, subject)
        except SomaError as error:
            earlier = await self._earlier(who.tenant_id, selection_request) if error.reason is Reason.CONFLICT else None
            if earlier is None:
                raise
            return earlier
        return self._facts.message(decision)

    async def FindCandidates(
        self, request: FindCandidatesRequest, context: grpc.aio.ServicerContext
    ) -> FindCandidatesResponse:
        """Says what could be chosen, and why the others could not."""
        who = caller()
        subject = subject_from(SubjectContext(), who)
        judged = await self._selector.find(await dry_run_from(request.requirements), subject)
        return judgement_to_proto(judged, who.tenant_id)

    async def _earlier(self, tenant_id: str, selection_request: SelectionRequest) -> Selection | None:
        recorded = await self._selector.by_request(tenant_id, selection_request.key.request_id)
        if recorded is None:
            return None
        selection_request.key.require_same(recorded.request_digest)
        return Selection.FromString(recorded.document)

    async def GetSelection(self, request: pb.GetSelectionRequest, context: grpc.aio.ServicerContext) -> Selection:
        """Explains a past selection."""
        return Selection.FromString(await self._selector.get(caller().tenant_id, request.selection_id))

    async def ListSelections(
        self, request: pb.ListSelectionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSelectionsResponse:
        """Lists past selections."""
        size = page_size(request)
        documents = await self._selector.list(
            caller().tenant_id, request.job_id, size, page_token_id(request.page_token)
        )
        found = [Selection.FromString(document) for document in documents]
        token = found[size - 1].selection_id if len(found) > size else ""
        return pb.ListSelectionsResponse(selections=found[:size], next_page_token=token)
