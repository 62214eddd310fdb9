"""Carries who asked, and in which trace, from a call into the workflow it starts and the activities of that.

The caller's claims travel, never the token: an activity that calls on gets a token of its own.
"""

# ruff: noqa: A002, ANN401 - names and types of these methods are the SDK's
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import temporalio.activity
import temporalio.client
import temporalio.worker
from temporalio.api.common.v1 import Payload

from mesh import context, tracing
from mesh.context import Caller, RequestContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.workflow import ActivityHandle, ChildWorkflowHandle

HEADER = "soma-context"
_ENCODING = b"json/plain"


class _WithHeaders(Protocol):
    headers: Mapping[str, Payload]


I = TypeVar("I", bound=_WithHeaders)  # noqa: E741 - an input


def to_header(request: RequestContext) -> Payload:
    """The request as a header, without its token and its deadline."""
    claims = None
    if request.caller is not None:
        claims = {
            "tenant_id": request.caller.tenant_id,
            "subject": request.caller.subject,
            "roles": request.caller.roles,
            "scopes": request.caller.scopes,
            "key_id": request.caller.key_id,
            "actor": request.caller.actor,
        }
    fields = {
        "caller": claims,
        "request_id": request.request_id,
        "trace_id": request.trace_id,
        "traceparent": request.traceparent,
    }
    return Payload(metadata={"encoding": _ENCODING}, data=json.dumps(fields).encode())


def from_header(header: Payload) -> RequestContext:
    """The request that a header carries."""
    fields = json.loads(header.data)
    claims = fields.pop("caller")
    caller = None
    if claims is not None:
        roles, scopes = tuple(claims.pop("roles")), tuple(claims.pop("scopes"))
        caller = Caller(roles=roles, scopes=scopes, token="", **claims)
    return RequestContext(caller=caller, **fields)


class ContextPropagation(temporalio.client.Interceptor, temporalio.worker.Interceptor):
    """Give it to the client; workers made with that client take it over."""

    def intercept_client(self, next: temporalio.client.OutboundInterceptor) -> temporalio.client.OutboundInterceptor:
        """Add the request to what the client sends."""
        return _ClientOutbound(next)

    def intercept_activity(
        self,
        next: temporalio.worker.ActivityInboundInterceptor,
    ) -> temporalio.worker.ActivityInboundInterceptor:
        """Run activities within the request that the workflow belongs to."""
        return _ActivityInbound(next)

    def workflow_interceptor_class(
        self,
        input: temporalio.worker.WorkflowInterceptorClassInput,  # noqa: ARG002
    ) -> type[temporalio.worker.WorkflowInboundInterceptor]:
        """Hand the header on from workflows."""
        return _WorkflowInbound


class _ClientOutbound(temporalio.client.OutboundInterceptor):
    """The client's side."""

    async def start_workflow(
        self, input: temporalio.client.StartWorkflowInput
    ) -> temporalio.client.WorkflowHandle[Any, Any]:
        return await super().start_workflow(_with_request_header(input))

    async def signal_workflow(self, input: temporalio.client.SignalWorkflowInput) -> None:
        await super().signal_workflow(_with_request_header(input))

    async def query_workflow(self, input: temporalio.client.QueryWorkflowInput) -> Any:
        return await super().query_workflow(_with_request_header(input))

    async def start_workflow_update(
        self, input: temporalio.client.StartWorkflowUpdateInput
    ) -> temporalio.client.WorkflowUpdateHandle[Any]:
        return await super().start_workflow_update(_with_request_header(input))


class _ActivityInbound(temporalio.worker.ActivityInboundInterceptor):
    """The activity's side."""

    async def execute_activity(self, input: temporalio.worker.ExecuteActivityInput) -> Any:
        header = input.headers.get(HEADER)
        if header is None:
            return await super().execute_activity(input)
        request = from_header(header)
        with context.use(request), tracing.with_remote_parent(request.traceparent):
            return await super().execute_activity(input)


class _WorkflowInbound(temporalio.worker.WorkflowInboundInterceptor):
    """The workflow's side: keeps the header it was started with, and adds it to all that it starts."""

    def __init__(self, next: temporalio.worker.WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.header: Payload | None = None

    def init(self, outbound: temporalio.worker.WorkflowOutboundInterceptor) -> None:
        super().init(_WorkflowOutbound(outbound, self))

    async def execute_workflow(self, input: temporalio.worker.ExecuteWorkflowInput) -> Any:
        self.header = input.headers.get(HEADER)
        return await super().execute_workflow(input)


class _WorkflowOutbound(temporalio.worker.WorkflowOutboundInterceptor):
    """What a workflow starts."""

    def __init__(self, next: temporalio.worker.WorkflowOutboundInterceptor, inbound: _WorkflowInbound) -> None:
        super().__init__(next)
        self._inbound = inbound

    def continue_as_new(self, input: temporalio.worker.ContinueAsNewInput) -> NoReturn:
        super().continue_as_new(self._with_header(input))

    def start_activity(self, input: temporalio.worker.StartActivityInput) -> ActivityHandle[Any]:
        return super().start_activity(self._with_header(input))

    def start_local_activity(self, input: temporalio.worker.StartLocalActivityInput) -> ActivityHandle[Any]:
        return super().start_local_activity(self._with_header(input))

    async def start_child_workflow(
        self, input: temporalio.worker.StartChildWorkflowInput
    ) -> ChildWorkflowHandle[Any, Any]:
        return await super().start_child_workflow(self._with_header(input))

    async def signal_child_workflow(self, input: temporalio.worker.SignalChildWorkflowInput) -> None:
        await super().signal_child_workflow(self._with_header(input))

    async def signal_external_workflow(self, input: temporalio.worker.SignalExternalWorkflowInput) -> None:
        await super().signal_external_workflow(self._with_header(input))

    def _with_header(self, input: I) -> I:
        if self._inbound.header is not None:
            input.headers = {**input.headers, HEADER: self._inbound.header}
        return input


def _with_request_header(input: I) -> I:
    request = context.current()
    if request is not None:
        input.headers = {**input.headers, HEADER: to_header(request)}
    return input
