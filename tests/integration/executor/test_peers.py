"""What the executor says to its peers, heard by servers of the contract."""

# ruff: noqa: N802 - names of methods are the contract's
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.api import httpbody_pb2

from mesh.errors import Reason, SomaError, not_found
from mesh.ids import derive
from mesh.testing.server import served
from soma.assets.v1 import asset_pb2, asset_service_pb2, asset_service_pb2_grpc
from soma.common.v1 import modality_pb2
from soma.critic.v1 import critic_service_pb2, critic_service_pb2_grpc
from soma.registry.v1 import capability_pb2, capability_service_pb2, capability_service_pb2_grpc
from soma.selector.v1 import (
    budget_service_pb2,
    budget_service_pb2_grpc,
    selection_pb2,
    selector_service_pb2_grpc,
)
from soma_providers.port import Artefact, Manifest, Usage
from svc_executor.adapters.peers import AssetsPeer, CriticPeer, RegistryPeer, SelectorPeer
from svc_executor.domain.peers import (
    AssetInfo,
    EvaluationRequest,
    HealthReport,
    HealthState,
    SelectionRequest,
    Upload,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio
    from google.protobuf.message import Message

    from mesh.rpc.server import Registration
    from soma_providers.port import JsonValue

CONFIG = (Path(__file__).parents[3] / "protos" / "service_config.json").read_text()
ONE, TWO, GONE = derive("one"), derive("two"), derive("gone")


@dataclass
class Received:
    """Requests as they arrived."""

    requests: list[object] = field(default_factory=list)


class Selector(selector_service_pb2_grpc.SelectorServiceServicer, budget_service_pb2_grpc.BudgetServiceServicer):
    def __init__(self, heard: Received) -> None:
        self._heard = heard

    async def Select(self, request: selection_pb2.SelectRequest, context: object) -> selection_pb2.Selection:
        self._heard.requests.append(request)
        if request.exclude:
            raise SomaError(Reason.NO_CAPABLE_CAPABILITY, "nothing is left")
        capability = capability_pb2.Capability(
            capability_id="mermaid@local",
            tool_id="mermaid",
            provider="local",
            model="11",
            license="MIT",
            owner_tenant_id="tenant-a",
            price_list=capability_pb2.PriceList(
                prices=[capability_pb2.Price(unit=capability_pb2.PRICE_UNIT_IMAGE, micro_usd=7)]
            ),
        )
        capability.default_parameters.update({"theme": "plain", "scale": 2})
        return selection_pb2.Selection(
            selection_id=ONE,
            chosen=capability,
            reason="first",
            budget=selection_pb2.BudgetView(reservation_id=TWO, reserved_micro_usd=7),
        )

    async def _changed(self, request: Message, context: object) -> budget_service_pb2.Reservation:
        self._heard.requests.append(request)
        return budget_service_pb2.Reservation(cost_micro_usd=5, settled_micro_usd=3)

    RenewReservation = SettleReservation = ReleaseReservation = _changed


class Assets(asset_service_pb2_grpc.AssetServiceServicer):
    def __init__(self, heard: Received) -> None:
        self._heard = heard

    async def UploadAsset(
        self, request_iterator: AsyncIterator[asset_service_pb2.UploadAssetRequest], context: object
    ) -> asset_pb2.Asset:
        self._heard.requests.extend([message async for message in request_iterator])
        return asset_pb2.Asset(asset_id=ONE)

    async def GetAsset(self, request: asset_service_pb2.GetAssetRequest, context: object) -> asset_pb2.Asset:
        if request.asset_id == GONE:
            raise not_found("asset", GONE)
        ready = request.asset_id == ONE
        status = asset_pb2.ASSET_STATUS_READY if ready else asset_pb2.ASSET_STATUS_TOMBSTONED
        return asset_pb2.Asset(asset_id=ONE, status=status, media_type="image/png", filename="p.png", size_bytes=5)

    async def DownloadAsset(
        self, request: asset_service_pb2.DownloadAssetRequest, context: object
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        for part in (b"by", b"tes"):
            yield httpbody_pb2.HttpBody(data=part)

    async def ListAssets(
        self, request: asset_service_pb2.ListAssetsRequest, context: object
    ) -> asset_service_pb2.ListAssetsResponse:
        self._heard.requests.append(asset_service_pb2.ListAssetsRequest.FromString(request.SerializeToString()))
        asset_id, token = (TWO, "") if request.page_token else (ONE, "more")
        asset = asset_pb2.Asset(asset_id=asset_id, status=asset_pb2.ASSET_STATUS_READY)
        return asset_service_pb2.ListAssetsResponse(assets=[asset], next_page_token=token)

    async def DeleteAsset(self, request: asset_service_pb2.DeleteAssetRequest, context: object) -> asset_pb2.Asset:
        self._heard.requests.append(request)
        if request.asset_id == GONE:
            raise not_found("asset", GONE)
        return asset_pb2.Asset()


class Critic(critic_service_pb2_grpc.CriticServiceServicer):
    def __init__(self, heard: Received) -> None:
        self._heard = heard

    async def Evaluate(
        self, request: critic_service_pb2.EvaluateRequest, context: object
    ) -> critic_service_pb2.Evaluation:
        self._heard.requests.append(request)
        point = critic_service_pb2.Feedback(dimension="clarity", code="TOO_SMALL", message="Larger.")
        point.hint.update({"min_width_px": 1200})
        return critic_service_pb2.Evaluation(evaluation_id=ONE, passes=False, score=0.4, feedback=[point])


class Registry(capability_service_pb2_grpc.CapabilityServiceServicer):
    def __init__(self, heard: Received) -> None:
        self._heard = heard

    async def RegisterCapability(
        self, request: capability_service_pb2.RegisterCapabilityRequest, context: object
    ) -> capability_pb2.Capability:
        self._heard.requests.append(request)
        return request.capability

    async def ReportHealth(
        self, request: capability_service_pb2.ReportHealthRequest, context: object
    ) -> capability_pb2.Capability:
        self._heard.requests.append(request)
        return capability_pb2.Capability()


@pytest.fixture
def heard() -> Received:
    return Received()


@pytest.fixture
async def channel(heard: Received) -> AsyncIterator[grpc.aio.Channel]:
    selector = Selector(heard)  # type: ignore[abstract]  # the executor calls no other methods
    registrations: list[Registration] = [
        (selector_service_pb2_grpc.add_SelectorServiceServicer_to_server, selector),
        (budget_service_pb2_grpc.add_BudgetServiceServicer_to_server, selector),
        (asset_service_pb2_grpc.add_AssetServiceServicer_to_server, Assets(heard)),
        (critic_service_pb2_grpc.add_CriticServiceServicer_to_server, Critic(heard)),  # type: ignore[abstract]
        (capability_service_pb2_grpc.add_CapabilityServiceServicer_to_server, Registry(heard)),  # type: ignore[abstract]
    ]
    async with served(registrations, service_config=CONFIG) as server:
        yield server.channel


def a_selection_request(**fields: object) -> SelectionRequest:
    return SelectionRequest("job", "step", 2, "request", "diagram", "image_diagram", **fields)  # type: ignore[arg-type]


async def test_a_need_is_asked_for_and_its_choice_understood(channel: grpc.aio.Channel, heard: Received) -> None:
    selection_request = a_selection_request(
        formats=("png",), width_px=1200, params={"source": "graph", "n": 2}, preferred_tool="mermaid",
        max_cost_micro_usd=9, data_classification="internal", units=Usage(output_tokens=6_240), context_tokens=640,
    )  # fmt: skip
    selection = await SelectorPeer(channel).select(selection_request)
    (request,) = heard.requests
    assert isinstance(request, selection_pb2.SelectRequest)
    assert request.requirements.modality == modality_pb2.MODALITY_DIAGRAM
    assert (request.requirements.params["source"], list(request.requirements.formats)) == ("graph", ["png"])
    assert (request.subject_context.job_id, request.subject_context.attempt) == ("job", 2)
    assert (request.requirements.context_tokens, request.estimated_units.output_tokens) == (640, 6_240)
    assert (request.preference.tool_id, request.max_cost_micro_usd, request.request_id) == ("mermaid", 9, "request")
    assert (selection.selection_id, selection.reservation_id, selection.reserved_micro_usd) == (ONE, TWO, 7)
    assert (selection.capability.adapter, selection.capability.owner_tenant_id) == ("mermaid", "tenant-a")
    assert selection.capability.default_parameters == {"theme": "plain", "scale": 2}


@pytest.mark.parametrize("tier", ["", "free", "low", "medium", "high", "premium"])
async def test_a_limit_of_the_cost_tier_is_passed_on(channel: grpc.aio.Channel, heard: Received, tier: str) -> None:
    await SelectorPeer(channel).select(a_selection_request(max_cost_tier=tier))
    (request,) = heard.requests
    assert isinstance(request, selection_pb2.SelectRequest)
    assert capability_pb2.CostTier.Name(request.max_cost_tier) == f"COST_TIER_{tier.upper() or 'UNSPECIFIED'}"


async def test_a_refusal_keeps_its_reason(channel: grpc.aio.Channel) -> None:
    with pytest.raises(SomaError) as caught:
        await SelectorPeer(channel).select(a_selection_request(exclude=("mermaid@local",)))
    assert caught.value.reason is Reason.NO_CAPABLE_CAPABILITY


async def test_reservations_are_renewed_settled_and_released(channel: grpc.aio.Channel, heard: Received) -> None:
    peer, used = SelectorPeer(channel), budget_service_pb2.Usage(calls=1, images=2, seconds=0.5)
    await peer.renew(TWO)
    assert await peer.settle(TWO, Usage(images=2, seconds=0.5)) == 5
    await peer.settle(TWO, None)
    await peer.release(TWO)
    assert heard.requests == [
        budget_service_pb2.RenewReservationRequest(reservation_id=TWO),
        budget_service_pb2.SettleReservationRequest(reservation_id=TWO, usage=used),
        budget_service_pb2.SettleReservationRequest(reservation_id=TWO, usage_unknown=True),
        budget_service_pb2.ReleaseReservationRequest(reservation_id=TWO),
    ]


@pytest.mark.parametrize("size", [0, 10, 256 * 1024, 600 * 1024])
async def test_an_artefact_is_sent_in_pieces_with_its_fields_in_the_first(
    channel: grpc.aio.Channel, heard: Received, size: int
) -> None:
    artefact = Artefact(b"x" * size, "image/png", "p.png", "diagram", {"scale": 2})
    upload = Upload(artefact, "request", "job", "step", "execution", "session", "internal")
    assert await AssetsPeer(channel).store(upload) == ONE
    messages = [each for each in heard.requests if isinstance(each, asset_service_pb2.UploadAssetRequest)]
    assert b"".join(message.content.data for message in messages) == artefact.content
    first = messages[0]
    assert (first.filename, first.size_bytes, first.content.content_type) == ("p.png", size, "image/png")
    assert (first.origin.job_id, first.origin.execution_id, first.request_id) == ("job", "execution", "request")
    assert all(len(message.content.data) <= 256 * 1024 for message in messages)


async def test_an_asset_is_read_whole(channel: grpc.aio.Channel) -> None:
    peer = AssetsPeer(channel)
    asset = await peer.describe(ONE)
    assert asset == AssetInfo(ONE, "image/png", "p.png", 5)
    loaded = await peer.load(asset)
    assert (loaded.content, loaded.media_type, loaded.filename) == (b"bytes", "image/png", "p.png")
    with pytest.raises(SomaError) as refused:
        await peer.describe(TWO)
    assert refused.value.reason is Reason.NOT_FOUND


async def test_what_is_gone_may_be_given_up_again(channel: grpc.aio.Channel, heard: Received) -> None:
    peer = AssetsPeer(channel)
    await peer.release(ONE, "job", "it failed")
    await peer.release(GONE, "job", "it failed")
    assert heard.requests == [
        asset_service_pb2.DeleteAssetRequest(asset_id=asset_id, job_id="job", reason="it failed")
        for asset_id in (ONE, GONE)
    ]


async def test_all_assets_that_a_job_holds_are_found(channel: grpc.aio.Channel, heard: Received) -> None:
    assert await AssetsPeer(channel).list_held("job") == [ONE, TWO]
    assert all(isinstance(each, asset_service_pb2.ListAssetsRequest) and each.only_held for each in heard.requests)
    assert len(heard.requests) == 2


async def test_a_trial_and_its_verdict(channel: grpc.aio.Channel, heard: Received) -> None:
    rubric: dict[str, JsonValue] = {
        "criteria": [{"dimension": "clarity", "weight": 1.0, "threshold": 0.5}], "min_overall_score": 0.6,
    }  # fmt: skip
    evaluation_request = EvaluationRequest(
        ONE, "request", "job", "step", "execution", "mermaid", "Draw", ("A", "B"), rubric, 1200
    )
    evaluation = await CriticPeer(channel).evaluate(evaluation_request)
    (request,) = heard.requests
    assert isinstance(request, critic_service_pb2.EvaluateRequest)
    assert (request.rubric.min_overall_score, request.rubric_id) == (0.6, "")
    assert (list(request.context.expected_labels), request.context.min_width_px) == (["A", "B"], 1200)
    assert (evaluation.passes, evaluation.score) == (False, 0.4)
    assert evaluation.feedback[0].hint == {"min_width_px": 1200}


async def test_capabilities_are_registered_and_their_health_told(channel: grpc.aio.Channel, heard: Received) -> None:
    fields = {
        "tool_id": "mermaid", "provider": "local", "kind": "CAPABILITY_KIND_TOOL",
        "modalities": ["MODALITY_DIAGRAM"], "task_types": ["image_diagram"],
    }  # fmt: skip
    peer = RegistryPeer(channel, "process-1", 149.5)
    await peer.register(Manifest("mermaid", "local", "mermaid", fields))
    await peer.report_health(HealthReport("mermaid@local", HealthState.UNHEALTHY, "ill", True, "tenant-a"))
    registered, report = heard.requests
    assert isinstance(registered, capability_service_pb2.RegisterCapabilityRequest)
    assert (registered.capability.tool_id, registered.capability.adapter) == ("mermaid", "mermaid")
    assert report == capability_service_pb2.ReportHealthRequest(
        capability_id="mermaid@local", state=capability_pb2.HEALTH_STATE_UNHEALTHY, reason="ill",
        circuit_open=True, owner_tenant_id="tenant-a", reporter="process-1", confirm_within_seconds=150,
    )  # fmt: skip
