"""A selector served over gRPC, on memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.testing.server import served
from mesh.testing.tokens import ALICE
from soma.selector.v1.selection_pb2 import SelectRequest
from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceStub, add_SelectorServiceServicer_to_server
from svc_selector.domain.permissions import Permissions
from svc_selector.rpc import SelectionConverter, SelectorServicer
from tests.unit.selector.selecting import SelectorHarness, selector_harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.identity import Claims
    from soma.selector.v1.selector_service_pb2_grpc import SelectorServiceAsyncStub
    from svc_selector.domain.model import Candidate

TENANT = "acme"


@dataclass
class Serving:
    """The stub of a served selector, and what it stands on."""

    stub: SelectorServiceAsyncStub
    harness: SelectorHarness


@asynccontextmanager
async def serving(
    candidates: Sequence[Candidate], permissions: Permissions | None = None, caller: Claims = ALICE
) -> AsyncIterator[Serving]:
    """Serves a selector over these candidates; the caller has the plan "pro" unless told otherwise."""
    made = selector_harness(candidates)
    made.gateway.permissions[TENANT] = permissions or Permissions("pro")
    registration = (add_SelectorServiceServicer_to_server, SelectorServicer(made.selector, SelectionConverter()))
    async with served([registration], caller=caller) as server:
        yield Serving(SelectorServiceStub(server.channel), made)


def request(request_id: str = "", **fields: object) -> SelectRequest:
    """A request for a diagram."""
    made = SelectRequest(request_id=request_id, **fields)  # type: ignore[arg-type]
    made.requirements.modality = 4  # type: ignore[assignment]
    made.requirements.task_type = "image_diagram"
    return made
