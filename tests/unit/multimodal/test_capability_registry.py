"""Capabilities: who may register, see and change them, how health is kept, and what is found of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from svc_registry.app import Catalog, Registry
from svc_registry.app.ports import CapabilityFilter
from svc_registry.domain import (
    AllowLists,
    Capability,
    CapabilityKey,
    Constraints,
    Health,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Lifecycle,
    Modality,
    Report,
    Requester,
    apply_report,
)
from svc_registry.rpc.convert import modality_from_proto
from tests.in_memory.registry import MemoryStore
from tests.unit.selector.finding import codes, find, ids, requirements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma.registry.v1 import capability_service_pb2 as pb

PLATFORM_ADMIN = Requester("ops", "root", is_platform=True)
ACME = Requester("acme", "alice")
UMBRELLA = Requester("umbrella", "bob")
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",))
NEED = requirements()


def of(name: str, task_type: str, *modalities: Modality, formats: tuple[str, ...] = ()) -> Capability:
    """A capability that makes these formats, any where none is named."""
    tool, provider = name.split("@")
    limits = Constraints(formats=formats)
    return Capability(tool, provider, Kind.TOOL, modalities, (task_type,), constraints=limits)


OF_ALL_MODALITIES = (
    of("chat@local", "text_chat", Modality.TEXT),
    of("chat@remote", "text_chat", Modality.TEXT, formats=("txt", "md")),
    of("look@local", "describe", Modality.VISION),
    replace(
        of("photo@openai", "image_photo", Modality.IMAGE, Modality.DIAGRAM, formats=("png",)),
        task_types=("image_photo", "image_diagram"),
    ),
    of("resize@local", "image_transform", Modality.IMAGE, formats=("png", "webp")),
    of("draw@local", "image_diagram", Modality.DIAGRAM, formats=("png", "svg")),
    of("chart@local", "chart", Modality.DIAGRAM, formats=("png", "svg")),
    of("browse@local", "screenshot", Modality.SCREENSHOT, formats=("png",)),
    of("listen@local", "audio_stt", Modality.AUDIO_STT),
    of("say@local", "audio_tts", Modality.AUDIO_TTS, formats=("wav",)),
    of("compose@local", "document", Modality.DOCUMENT, formats=("pdf", "html")),
    of("search@local", "search", Modality.TOOL),
)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def catalog(store: MemoryStore) -> AsyncIterator[Catalog]:
    async with Catalog(store, store, "e").running() as running:
        yield running


@pytest.fixture
def registry(store: MemoryStore, catalog: Catalog) -> Registry:
    return Registry(store, catalog, FakeClock())


def reason_of(error: pytest.ExceptionInfo[SomaError]) -> Reason:
    return error.value.reason


async def test_registering_twice_changes_nothing(registry: Registry) -> None:
    first = await registry.register(PLATFORM_ADMIN, D2)
    assert await registry.register(PLATFORM_ADMIN, D2) == first
    assert first.version == 1


async def test_a_changed_offer_gets_a_new_version_and_keeps_its_health(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.report_health(CapabilityKey("d2@local"), Report(HealthState.HEALTHY))
    changed = await registry.register(PLATFORM_ADMIN, replace(D2, description="better"))
    assert (changed.version, changed.health.state) == (2, HealthState.HEALTHY)


async def test_an_old_version_is_refused(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.register(PLATFORM_ADMIN, replace(D2, description="2"))
    with pytest.raises(SomaError) as refused:
        await registry.register(PLATFORM_ADMIN, replace(D2, description="3", version=1))
    assert reason_of(refused) is Reason.STALE_VERSION


async def test_what_an_operator_disabled_stays_so_when_its_service_starts_again(registry: Registry) -> None:
    service = Requester("*", "spiffe://soma/executor", is_platform=True, is_service=True)
    await registry.register(service, D2)
    await registry.disable(PLATFORM_ADMIN, "d2@local")
    again = await registry.register(service, replace(D2, description="better"))
    assert (again.lifecycle, again.description) == (Lifecycle.DISABLED, "better")
    assert (await registry.register(PLATFORM_ADMIN, D2)).lifecycle is Lifecycle.ACTIVE


async def test_what_a_tenant_registers_is_its_own(registry: Registry) -> None:
    mine = await registry.register(ACME, replace(D2, provider="acme", allow=AllowLists(tenants=("umbrella",))))
    assert mine.allow.tenants == ("acme",)
    with pytest.raises(SomaError) as hidden:
        registry.get(UMBRELLA, "d2@acme")
    assert reason_of(hidden) is Reason.NOT_FOUND
    assert registry.list(UMBRELLA, CapabilityFilter(), 50, "").items == []


async def test_a_tenant_cannot_change_what_the_platform_registered(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    with pytest.raises(SomaError) as refused:
        await registry.register(ACME, replace(D2, description="mine now"))
    assert reason_of(refused) is Reason.PERMISSION_DENIED


async def test_updating_another_tenants_capability_is_not_found(registry: Registry) -> None:
    await registry.register(ACME, replace(D2, provider="acme"))
    with pytest.raises(SomaError) as hidden:
        await registry.update(UMBRELLA, "d2@acme", replace(D2, provider="acme", description="x"), ["description"])
    assert reason_of(hidden) is Reason.NOT_FOUND


async def test_a_field_that_cannot_change_is_named(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    with pytest.raises(SomaError) as refused:
        await registry.update(PLATFORM_ADMIN, "d2@local", D2, ["tool_id"])
    assert refused.value.fields[0].field == "update_mask"


async def test_an_update_changes_the_named_fields_alone(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, tags=("a",)))
    offered = replace(D2, description="new", tags=("b",))
    updated = await registry.update(PLATFORM_ADMIN, "d2@local", offered, ["description"])
    assert (updated.description, updated.tags) == ("new", ("a",))


async def test_a_schema_that_is_none_is_refused(registry: Registry) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.register(PLATFORM_ADMIN, replace(D2, input_schema={"type": "nonsense"}))
    assert refused.value.fields[0].field == "capability.input_schema"


async def test_a_disabled_capability_is_left_out_and_not_listed(registry: Registry, catalog: Catalog) -> None:
    await registry.register(PLATFORM_ADMIN, D2)
    await registry.disable(PLATFORM_ADMIN, "d2@local")
    answer = await find(catalog, NEED)
    assert (ids(answer), codes(answer)) == ([], {"d2@local": "DISABLED"})
    assert registry.list(ACME, CapabilityFilter(), 50, "").items == []


async def test_an_adapter_finds_what_it_serves(registry: Registry) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, adapter="drawer"))
    await registry.register(PLATFORM_ADMIN, replace(D2, tool_id="other", adapter="writer"))
    found = registry.list(ACME, CapabilityFilter(adapter="drawer"), 50, "").items
    assert [item.capability_id for item in found] == ["d2@local"]


async def test_pages_cover_everything_once(registry: Registry) -> None:
    for number in range(7):
        await registry.register(PLATFORM_ADMIN, replace(D2, tool_id=f"t{number}"))
    seen: list[str] = []
    token = ""
    while True:
        page = registry.list(ACME, CapabilityFilter(), 3, token)
        seen += [item.capability_id for item in page.items]
        token = page.next_token
        if not token:
            break
    assert seen == [f"t{number}@local" for number in range(7)]


async def test_candidates_come_in_the_order_of_the_ladder(registry: Registry, catalog: Catalog) -> None:
    for tool in ("a", "b", "c"):
        await registry.register(PLATFORM_ADMIN, replace(D2, tool_id=tool))
    key = LadderKey(Modality.DIAGRAM, "image_diagram")
    await registry.ladders.set(PLATFORM_ADMIN, Ladder(key, ("c@local", "a@local")))
    assert ids(await find(catalog, NEED)) == ["c@local", "a@local", "b@local"]


@pytest.mark.parametrize(
    ("need", "found"),
    [
        (requirements("text", "text_chat", formats=["md"]), ["chat@local", "chat@remote"]),
        (requirements("text", "summary"), []),
        (requirements("vision", "describe"), ["look@local"]),
        (requirements("image", "image_photo", formats=["png"]), ["photo@openai"]),
        (requirements("image", "image_transform", formats=["webp"]), ["resize@local"]),
        (requirements("diagram", "image_diagram", formats=["svg"]), ["draw@local"]),
        (requirements("diagram", "image_diagram", formats=["png"]), ["draw@local", "photo@openai"]),
        (requirements("screenshot", "screenshot", formats=["png"]), ["browse@local"]),
        (requirements("audio_stt", "audio_stt"), ["listen@local"]),
        (requirements("audio_tts", "audio_tts", formats=["wav"]), ["say@local"]),
        (requirements("audio_tts", "audio_tts", formats=["mp3"]), []),
        (requirements("video", "video_short"), []),
        (requirements("document", "document", formats=["pdf"]), ["compose@local"]),
        (requirements("tool", "search"), ["search@local"]),
    ],
)
async def test_each_modality_has_its_candidates(
    registry: Registry, catalog: Catalog, need: pb.Requirements, found: list[str]
) -> None:
    for capability in OF_ALL_MODALITIES:
        await registry.register(PLATFORM_ADMIN, capability)
    chat = Ladder(LadderKey(Modality.TEXT, "text_chat"), ("chat@local", "chat@remote"))
    await registry.ladders.set(PLATFORM_ADMIN, chat)
    answer = await find(catalog, need)
    assert ids(answer) == found
    modality = modality_from_proto(need.modality)
    others = {item.capability_id for item in OF_ALL_MODALITIES if modality in item.modalities}
    assert set(codes(answer)) == others - set(found)
    assert set(codes(answer).values()) <= {"TASK_TYPE_MISMATCH", "FORMAT_MISMATCH"}


async def test_a_ladder_of_unknown_capabilities_is_refused_for_a_tenant(registry: Registry) -> None:
    with pytest.raises(SomaError) as refused:
        await registry.ladders.set(ACME, Ladder(LadderKey(Modality.DIAGRAM, "x"), ("no@one",)))
    assert refused.value.fields[0].field == "ladder.capability_ids[0]"


@pytest.mark.parametrize(
    ("limits", "need", "code"),
    [
        (Constraints(formats=("svg",)), requirements(formats=["png"]), "FORMAT_MISMATCH"),
        (Constraints(max_width_px=10), requirements(width_px=11), "TOO_WIDE"),
        (Constraints(max_height_px=10), requirements(height_px=11), "TOO_HIGH"),
        (Constraints(max_prompt_chars=10), requirements(prompt_chars=11), "PROMPT_TOO_LONG"),
        (Constraints(context_window_tokens=10), requirements(context_tokens=11), "CONTEXT_TOO_SMALL"),
        (Constraints(max_duration_s=10), requirements(duration_seconds=10.5), "TOO_LONG"),
        (Constraints(source_languages=("d2",)), requirements(source_language="mermaid"), "LANGUAGE_MISMATCH"),
        (Constraints(), requirements(task_type="chart"), "TASK_TYPE_MISMATCH"),
    ],
)
async def test_each_limit_has_its_reason(
    registry: Registry, catalog: Catalog, limits: Constraints, need: pb.Requirements, code: str
) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, constraints=limits))
    answer = await find(catalog, need)
    assert (ids(answer), codes(answer)) == ([], {"d2@local": code})


async def test_parameters_are_checked_against_the_schema(registry: Registry, catalog: Catalog) -> None:
    await registry.register(PLATFORM_ADMIN, replace(D2, input_schema={"required": ["diagram"]}))
    assert ids(await find(catalog, requirements(params={"diagram": "a -> b"}))) == ["d2@local"]
    answer = await find(catalog, requirements(params={}))
    assert (ids(answer), codes(answer)) == ([], {"d2@local": "PARAMS_MISMATCH"})
    assert "diagram" in answer.left_out[0].reason


@given(st.lists(st.sampled_from([HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY]), max_size=30))
def test_a_capability_leaves_only_after_three_failures_in_a_row(reports: list[HealthState]) -> None:
    now = FakeClock().now()
    health = Health()
    in_a_row = 0
    for report in reports:
        health = apply_report(health, Report(report), now)
        in_a_row = 0 if report is HealthState.HEALTHY else in_a_row + 1
        assert health.failure_count == in_a_row
        if health.state is HealthState.UNHEALTHY:
            assert in_a_row >= 3
        if in_a_row == 0:
            assert health.state is HealthState.HEALTHY


def test_an_open_breaker_takes_out_at_once() -> None:
    health = apply_report(Health(), Report(HealthState.DEGRADED, circuit_open=True), FakeClock().now())
    assert health.state is HealthState.UNHEALTHY
