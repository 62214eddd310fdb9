"""A selector that is not there, for tests of what the registry itself answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soma.registry.v1 import capability_service_pb2 as pb


async def unasked(request: pb.FindCandidatesRequest) -> pb.FindCandidatesResponse:
    """Stands for `FindCandidates` of the selector."""
    raise AssertionError("the selector is asked for candidates")
