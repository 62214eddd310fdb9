"""Times and lengths of a capability beyond what can be kept are refused, never an error of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.errors import Reason, SomaError
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.rpc.convert import capability_to_proto
from tests.contract.registry.samples import MERMAID
from tests.contract.registry.test_operators import NAME, OWNER, serving

if TYPE_CHECKING:
    from soma.registry.v1.capability_pb2 import Capability
    from tests.in_memory.registry import MemoryStore

YEAR_S = 31_622_400
TIMES = {"no time": Timestamp(seconds=10**13), "too many nanos": Timestamp(seconds=1, nanos=10**9)}
LENGTHS = {
    "huge": Duration(seconds=10**15),
    "above a year": Duration(seconds=YEAR_S + 1),
    "less than 0": Duration(seconds=-1),
}
BAD = [
    *(pytest.param("price_list.effective_time", value, id=f"effective_time, {name}") for name, value in TIMES.items()),
    *(pytest.param("constraints.max_duration", value, id=f"max_duration, {name}") for name, value in LENGTHS.items()),
    *(pytest.param("expected_latency", value, id=f"expected_latency, {name}") for name, value in LENGTHS.items()),
]


def offer(path: str, value: Timestamp | Duration) -> Capability:
    """A capability that has the value at the path."""
    made = capability_to_proto(MERMAID)
    made.version = 0
    *parents, field = path.split(".")
    target: object = made
    for parent in parents:
        target = getattr(target, parent)
    getattr(target, field).CopyFrom(value)
    return made


@pytest.mark.parametrize(("path", "value"), BAD)
async def test_what_cannot_be_kept_is_refused_by_name(
    memory_store: MemoryStore, path: str, value: Timestamp | Duration
) -> None:
    async with serving(memory_store) as registry:
        with pytest.raises(SomaError) as refused:
            await registry.RegisterCapability(pb.RegisterCapabilityRequest(capability=offer(path, value)))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == [f"capability.{path}"]


@pytest.mark.parametrize(("path", "value"), BAD)
async def test_an_update_that_leaves_it_out_is_no_internal_error(
    memory_store: MemoryStore, path: str, value: Timestamp | Duration
) -> None:
    update = pb.UpdateCapabilityRequest(capability_id=NAME, owner_tenant_id=OWNER, capability=offer(path, value))
    update.capability.description = "new"
    update.update_mask.paths.append("description")
    async with serving(memory_store) as registry:
        if isinstance(value, Duration):
            assert (await registry.UpdateCapability(update)).description == "new"
            return
        with pytest.raises(SomaError) as refused:
            await registry.UpdateCapability(update)
        assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_a_year_is_kept(memory_store: MemoryStore) -> None:
    async with serving(memory_store) as registry:
        wanted = offer("constraints.max_duration", Duration(seconds=YEAR_S))
        kept = await registry.RegisterCapability(pb.RegisterCapabilityRequest(capability=wanted))
    assert kept.constraints.max_duration.seconds == YEAR_S
