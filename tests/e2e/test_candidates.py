"""What could be chosen for a need: one answer, over REST and by the registry's former method."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import json_format

from mesh.testing.contract import eventually
from soma.registry.v1 import capability_service_pb2 as pb
from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceStub
from tests.e2e.test_edge_contract import edge_channel

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.e2e.conftest import RunningMesh

    Candidates = tuple[list[str], dict[str, str]]

NEED = {"modality": "MODALITY_DIAGRAM", "task_type": "image_diagram", "source_language": "mermaid"}
OWN = {
    "tool_id": "drawing",
    "provider": "candidates",
    "kind": "CAPABILITY_KIND_TOOL",
    "modalities": ["MODALITY_DIAGRAM"],
    "task_types": ["image_diagram"],
}
SECONDS = 60
"""Health is probed while these tests run, so that two answers may differ for a moment."""


@pytest.fixture(scope="module")
def key(mesh: RunningMesh) -> str:
    """The key of a tenant that has a capability of its own."""
    made = mesh.tenant_key("candidates")
    with mesh.client(made) as api:
        api.post("/v1/multimodal/capabilities", json=OWN).raise_for_status()
    return made


def over_rest(api: httpx.Client) -> Candidates:
    answer = api.post("/v1/multimodal/capabilities:find", json={"requirements": NEED})
    answer.raise_for_status()
    return _told(json_format.ParseDict(answer.json(), pb.FindCandidatesResponse()))


def by_the_registry(mesh: RunningMesh, key: str) -> Candidates:
    request = json_format.ParseDict({"requirements": NEED}, pb.FindCandidatesRequest())
    with edge_channel(mesh) as channel:
        metadata = (("authorization", f"Bearer {key}"),)
        return _told(CapabilityServiceStub(channel).FindCandidates(request, metadata=metadata, timeout=20))  # type: ignore[arg-type]


def _told(answer: pb.FindCandidatesResponse) -> Candidates:
    candidates = [item.capability_id for item in answer.candidates]
    return candidates, {item.capability_id: item.code for item in answer.left_out}


async def agreed(condition: Callable[[], bool]) -> None:
    await eventually(partial(asyncio.to_thread, condition), within_s=SECONDS)


async def test_a_search_is_a_dry_run_of_a_selection(mesh: RunningMesh, key: str) -> None:
    answers: list[Candidates] = []

    def agree() -> bool:
        with mesh.client(key) as api:
            candidates, left_out = over_rest(api)
            dry_run = api.post("/v1/selections", json={"requirements": NEED, "dry_run": True}).json()
        answers.append((candidates, left_out))
        rejected = {item["capability_id"]: item["code"] for item in dry_run["rejected"]}
        ranked = [item["capability_id"] for item in dry_run["ranked"]]
        return ranked == candidates and rejected.items() <= left_out.items()

    await agreed(agree)
    candidates, left_out = answers[-1]
    assert "mermaid@local" in candidates
    assert left_out["drawing@candidates"] == "LANGUAGE_MISMATCH"
    assert left_out["matplotlib_chart@local"] == "TASK_TYPE_MISMATCH"


async def test_the_former_method_of_the_registry_gives_the_callers_answer(mesh: RunningMesh, key: str) -> None:
    def agree() -> bool:
        with mesh.client(key) as api:
            return by_the_registry(mesh, key) == over_rest(api)

    await agreed(agree)
    answers = [await asyncio.to_thread(by_the_registry, mesh, credential) for credential in (key, mesh.key)]
    assert ["drawing@candidates" in left_out for _, left_out in answers] == [True, False]


def test_a_search_needs_a_credential(mesh: RunningMesh) -> None:
    with edge_channel(mesh) as channel, pytest.raises(grpc.RpcError) as refused:
        CapabilityServiceStub(channel).FindCandidates(pb.FindCandidatesRequest(), timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
