"""SelectorService of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.errors import Reason, SomaError
from mesh.rpc.paging import page_size, page_token_id
from soma.selector.v1 import selector_service_pb2 as pb
from soma.selector.v1.selection_pb2 import Selection, SubjectContext
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceServicer
from svc_selector.rpc.convert.candidates import ranking_to_proto
from svc_selector.rpc.convert.requests import (
    dry_run_request_from_proto,
    selection_request_from_proto,
    subject_from_proto,
)

if TYPE_CHECKING:
    import grpc.aio

    from soma.registry.v1.capability_service_pb2 import FindCandidatesRequest, FindCandidatesResponse
    from soma.selector.v1.selection_pb2 import SelectRequest
    from svc_selector.app import SelectorUseCases
    from svc_selector.domain.model import SelectionRequest
    from svc_selector.rpc.convert.selections import SelectionConverter


class SelectorServicer(SelectorServiceServicer):
    """Selects capabilities, and reads past selections."""

    def __init__(self, selector: SelectorUseCases, converter: SelectionConverter) -> None:
        self._selector = selector
        self._converter = converter

    async def Select(self, request: SelectRequest, context: grpc.aio.ServicerContext) -> Selection:
        """Selects a capability; a repeated request id is answered with the first selection."""
        current_caller = caller()
        selection_request = await selection_request_from_proto(request)
        subject = subject_from_proto(request.subject_context, current_caller)
        if not request.request_id or request.dry_run:
            return self._converter.to_proto(await self._selector.select(selection_request, subject))
        first = await self._first_selection(current_caller.tenant_id, selection_request)
        if first is not None:
            return first
        try:
            decision = await self._selector.select(selection_request, subject)
        except SomaError as error:
            if error.reason is Reason.CONFLICT:
                first = await self._first_selection(current_caller.tenant_id, selection_request)
            if first is None:
                raise
            return first
        return self._converter.to_proto(decision)

    async def _first_selection(self, tenant_id: str, selection_request: SelectionRequest) -> Selection | None:
        """Returns the selection that the request id got before; None when there is none."""
        stored = await self._selector.get_by_request(tenant_id, selection_request.key.request_id)
        if stored is None:
            return None
        selection_request.key.require_same(stored.request_digest)
        return Selection.FromString(stored.serialized)

    async def FindCandidates(
        self, request: FindCandidatesRequest, context: grpc.aio.ServicerContext
    ) -> FindCandidatesResponse:
        """Lists the candidates that could be selected, and why the others could not."""
        current_caller = caller()
        subject = subject_from_proto(SubjectContext(), current_caller)
        ranking = await self._selector.find(await dry_run_request_from_proto(request.requirements), subject)
        return ranking_to_proto(ranking, current_caller.tenant_id)

    async def GetSelection(self, request: pb.GetSelectionRequest, context: grpc.aio.ServicerContext) -> Selection:
        """Reads a past selection."""
        return Selection.FromString(await self._selector.get(caller().tenant_id, request.selection_id))

    async def ListSelections(
        self, request: pb.ListSelectionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSelectionsResponse:
        """Lists past selections, newest first."""
        size = page_size(request)
        serialized = await self._selector.list(
            caller().tenant_id, request.job_id, size, page_token_id(request.page_token)
        )
        selections = [Selection.FromString(each) for each in serialized]
        token = selections[size - 1].selection_id if len(selections) > size else ""
        return pb.ListSelectionsResponse(selections=selections[:size], next_page_token=token)
