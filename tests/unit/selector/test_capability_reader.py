"""What the registry says of a capability becomes a candidate, also where this version does not understand all of it."""

from __future__ import annotations

import threading

import pytest

from mesh.json_schema import BoundedValue
from soma.common.v1.modality_pb2 import MODALITY_IMAGE
from soma.registry.v1 import capability_pb2, capability_service_pb2
from soma.registry.v1.ladder_pb2 import Ladder
from svc_selector.adapters.peers import capabilities
from svc_selector.adapters.peers.capabilities import CapabilityReader, ladders_from_proto
from svc_selector.domain.candidate_rules import filter_candidates
from svc_selector.domain.model import Candidate, CostTier, Requirements, SelectionRequest, Subject

NEWER = 99
REQUEST, SUBJECT = SelectionRequest(Requirements("image", "image_photo")), Subject("acme", "alice")


def capability(name: str = "a@b", **fields: object) -> capability_pb2.Capability:
    """A capability that makes pictures."""
    tool, provider = name.split("@")
    return capability_pb2.Capability(
        capability_id=name, tool_id=tool, provider=provider, modalities=[MODALITY_IMAGE], task_types=["image_photo"],
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def with_schema(schema: dict[str, object], name: str = "a@b") -> capability_pb2.Capability:
    """A capability with a schema of parameters."""
    made = capability(name)
    made.input_schema.update(schema)
    return made


async def read(*protos: capability_pb2.Capability) -> list[Candidate]:
    return (await CapabilityReader().read(protos)).candidates


def codes(candidates: list[Candidate]) -> dict[str, str]:
    _, rejected = filter_candidates(candidates, REQUEST, SUBJECT, {})
    return {item.capability_id: item.code for item in rejected}


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"$ref": "http://169.254.169.254/latest"}, {"$ref": "#"}, {"pattern": "(?=a)(a+)+$"}],
    ids=["no schema", "remote reference", "endless reference", "pattern that is not linear"],
)
async def test_a_schema_that_cannot_be_compiled_leaves_out_its_capability_alone(schema: dict[str, object]) -> None:
    candidates = await read(with_schema(schema, "bad@tenant"), capability("good@local"))
    assert codes(candidates) == {"bad@tenant": "SCHEMA_UNUSABLE"}


async def test_why_a_schema_cannot_be_used_is_told() -> None:
    [candidate] = await read(with_schema({"$ref": "http://169.254.169.254/latest"}))
    assert candidate.unusable is not None
    assert "local references" in candidate.unusable.reason


async def test_a_schema_is_compiled_once_until_it_changes() -> None:
    reader = CapabilityReader()
    proto = with_schema({"type": "object"})
    [first] = (await reader.read([proto])).candidates
    proto.health.state = capability_pb2.HEALTH_STATE_DEGRADED
    [second] = (await reader.read([proto])).candidates
    proto.input_schema.update({"maxProperties": 1})
    [third] = (await reader.read([proto])).candidates
    assert first.schema is second.schema is not None
    assert third.schema is not first.schema


async def test_schemas_are_compiled_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(capabilities, "compile_schema", lambda _: threads.append(threading.current_thread()))
    await read(with_schema({"type": "object"}), with_schema({}, "c@d"))
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_schemas_of_capabilities_that_are_gone_are_dropped() -> None:
    reader = CapabilityReader()
    read = await reader.read([with_schema({"type": "object"}, name) for name in ("a@b", "c@d", "e@f")])
    reader.retain_only(read.candidates[:2])
    deleted = capability("c@d")
    deleted.delete_time.GetCurrentTime()
    await reader.read([deleted])
    assert list(reader._schemas) == [("", "a@b")]


async def test_capabilities_of_one_id_have_schemas_of_their_own() -> None:
    mine, yours = with_schema({"maxProperties": 1}), with_schema({"maxProperties": 0})
    mine.owner_tenant_id, yours.owner_tenant_id = "acme", "umbrella"
    reader = CapabilityReader()
    for _ in range(2):
        candidates = (await reader.read([mine, yours])).candidates
        assert [candidate.key for candidate in candidates] == [("acme", "a@b"), ("umbrella", "a@b")]
        assert [
            bool(candidate.schema and candidate.schema.first_error_in(BoundedValue({"x": 1})))
            for candidate in candidates
        ] == [
            False,
            True,
        ]


async def test_a_deleted_capability_is_offered_no_more() -> None:
    deleted = capability(owner_tenant_id="acme")
    deleted.delete_time.GetCurrentTime()
    changes = await CapabilityReader().read([deleted])
    assert (changes.candidates, changes.deleted) == ([], [("acme", "a@b")])


async def test_what_is_handed_on_of_a_capability_has_no_schemas_and_no_names_of_tenants() -> None:
    proto = with_schema({"type": "object"})
    proto.output_schema.update({"type": "object"})
    proto.allow.tenants.extend(["acme", "umbrella"])
    [candidate] = await read(proto)
    assert candidate.tenants == ("acme", "umbrella")
    assert capability_pb2.Capability.FromString(candidate.serialized) == capability()


@pytest.mark.parametrize("schema", [{}, {"type": "object"}])
async def test_what_is_handed_on_and_what_is_omitted_are_the_whole_capability(schema: dict[str, object]) -> None:
    proto = with_schema(schema) if schema else capability()
    proto.allow.roles.append("member")
    [candidate] = await read(proto)
    assert (
        capability_pb2.Capability.FromString(candidate.serialized + candidate.serialized_schemas_and_allow_lists)
        == proto
    )


@pytest.mark.parametrize(
    "newer",
    [
        capability(lifecycle=NEWER),
        capability(health=capability_pb2.Health(state=NEWER)),  # type: ignore[arg-type]
        capability(cost_tier=NEWER),
        capability(price_list=capability_pb2.PriceList(prices=[capability_pb2.Price(unit=NEWER)])),  # type: ignore[arg-type]
    ],
    ids=["lifecycle", "health", "cost tier", "price unit"],
)
async def test_a_value_of_a_newer_registry_leaves_out_its_capability(newer: capability_pb2.Capability) -> None:
    assert codes(await read(newer, capability("good@local"))) == {"a@b": "UNSUPPORTED"}


async def test_a_modality_of_a_newer_registry_is_passed_over() -> None:
    newer = capability()
    newer.modalities.append(NEWER)  # type: ignore[arg-type]
    [candidate] = await read(newer)
    assert (candidate.modalities, codes([candidate])) == (("image",), {})


async def test_a_capability_that_cannot_be_read_is_left_out() -> None:
    broken = capability()
    broken.constraints.max_duration.seconds = 1 << 62
    assert codes(await read(broken, capability("good@local"))) == {"a@b": "UNSUPPORTED"}


async def test_the_cost_tier_is_read() -> None:
    [named, unnamed] = await read(capability(cost_tier=capability_pb2.COST_TIER_HIGH), capability("c@d"))
    assert (named.cost_tier, unnamed.cost_tier) == (CostTier.HIGH, CostTier.UNSPECIFIED)


@pytest.mark.parametrize(
    ("endpoint", "needed"),
    [("", False), ("http://127.0.0.1:11434/v1", False), ("https://llm.example/v1", True), ("https://[::1", True)],
)
async def test_an_endpoint_on_another_machine_needs_egress_whatever_is_said(endpoint: str, needed: bool) -> None:
    [candidate] = await read(capability(endpoint=endpoint, owner_tenant_id="acme"))
    assert candidate.needs_egress is needed


def test_a_ladder_for_a_modality_of_a_newer_registry_is_passed_over() -> None:
    known = Ladder(modality=MODALITY_IMAGE, task_type="image_photo", capability_ids=["a@b"])
    newer = Ladder(modality=NEWER, task_type="smell")  # type: ignore[arg-type]
    listed = [capability_service_pb2.OwnedLadder(ladder=ladder) for ladder in (newer, known)]
    assert list(ladders_from_proto(listed)) == [("", "image", "image_photo")]
