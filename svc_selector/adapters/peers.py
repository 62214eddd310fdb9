"""What other services tell the selector: capabilities, tenants and the state of the mesh."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.lifecycle import background
from mesh.logging import get_logger
from mesh.rpc.wellknown import json_object
from soma.common.v1 import modality_pb2
from soma.gateway.v1 import health_service_pb2, identity_service_pb2
from soma.registry.v1 import capability_pb2, capability_service_pb2
from svc_selector.domain.model import Health, Ladder, Lifecycle, Limits, Offer, Prices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mesh.clock import Clock
    from soma.gateway.v1.health_service_pb2_grpc import DegradationServiceAsyncStub
    from soma.gateway.v1.identity_service_pb2_grpc import TenantServiceAsyncStub
    from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceAsyncStub
    from svc_selector.adapters.catalog import Catalog, LadderKey

PAUSE_S = 0.5
PLAN_TTL_S = 30.0
PLANS_KEPT = 10_000

_log = get_logger(__name__)


def modality_name(number: modality_pb2.Modality.ValueType) -> str:
    """The domain's name of a modality, for example "audio_tts"."""
    return modality_pb2.Modality.Name(number).removeprefix("MODALITY_").lower()


class RegistryFeed:
    """Keeps the catalogue true to the registry's stream; resumes after a cut, starts anew where it cannot."""

    def __init__(self, stub: CapabilityServiceAsyncStub, catalog: Catalog, clock: Clock) -> None:
        self._stub = stub
        self._catalog = catalog
        self._clock = clock
        self._token = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the stream until left."""
        async with background(self._run, "registry-feed"):
            yield

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except SomaError as error:
                if self._catalog.stale_since is None:
                    _log.warning("the registry is not heard", reason=error.reason.value)
            if self._catalog.stale_since is None:
                self._catalog.stale_since = self._clock.now()
            await self._clock.sleep(PAUSE_S)

    async def _follow(self) -> None:
        offers: list[Offer] = []
        request = capability_service_pb2.WatchCapabilitiesRequest(resume_token=self._token)
        async for message in self._stub.WatchCapabilities(request):
            received = [offer_from(item) for item in message.capabilities]
            ladders = dict(map(_ladder_from, message.ladders))
            if message.snapshot:
                offers += received
                if message.complete:
                    self._catalog.replace_all(offers, ladders)
                    offers = []
            else:
                self._catalog.update(received, ladders)
            if message.complete:
                self._catalog.stale_since = None
                self._token = message.resume_token


def offer_from(proto: capability_pb2.Capability) -> Offer:
    """A capability as the selector sees it."""
    limits, allow = proto.constraints, proto.allow
    return Offer(
        capability_id=proto.capability_id,
        tool_id=proto.tool_id,
        provider=proto.provider,
        modalities=tuple(map(modality_name, proto.modalities)),
        task_types=tuple(proto.task_types),
        limits=Limits(
            formats=tuple(limits.formats),
            max_width_px=limits.max_width_px,
            max_height_px=limits.max_height_px,
            max_prompt_chars=limits.max_prompt_chars,
            context_window_tokens=limits.context_window_tokens,
            max_duration_s=limits.max_duration.ToTimedelta().total_seconds(),
            source_languages=tuple(limits.source_languages),
        ),
        prices=_prices(proto.price_list),
        needs_egress=limits.needs_egress,
        classifications=tuple(proto.data_classifications),
        tenants=tuple(allow.tenants),
        roles=tuple(allow.roles),
        personas=tuple(allow.personas),
        capsules=tuple(allow.capsules),
        input_schema=json_object(proto.input_schema),
        lifecycle=_LIFECYCLES.get(proto.lifecycle, Lifecycle.ACTIVE),
        health=_HEALTHS.get(proto.health.state, Health.UNKNOWN),
        health_reason=proto.health.reason,
        circuit_open=proto.health.circuit_open,
        version=proto.version,
        document=proto.SerializeToString(),
    )


def _prices(listed: capability_pb2.PriceList) -> Prices:
    whole = _by_unit({price.unit: price.micro_usd for price in listed.prices})
    finer = {price.unit: price.micro_usd_per_million for price in listed.prices if price.micro_usd_per_million}
    return replace(whole, finer=_by_unit(finer)) if finer else whole


def _by_unit(amounts: Mapping[capability_pb2.PriceUnit.ValueType, int]) -> Prices:
    return Prices(
        call=amounts.get(capability_pb2.PRICE_UNIT_CALL, 0),
        image=amounts.get(capability_pb2.PRICE_UNIT_IMAGE, 0),
        second=amounts.get(capability_pb2.PRICE_UNIT_SECOND, 0),
        input_token=amounts.get(capability_pb2.PRICE_UNIT_INPUT_TOKEN, 0),
        output_token=amounts.get(capability_pb2.PRICE_UNIT_OUTPUT_TOKEN, 0),
    )


_LIFECYCLES = {
    capability_pb2.LIFECYCLE_DEPRECATED: Lifecycle.DEPRECATED,
    capability_pb2.LIFECYCLE_DISABLED: Lifecycle.DISABLED,
}
_HEALTHS = {
    capability_pb2.HEALTH_STATE_HEALTHY: Health.HEALTHY,
    capability_pb2.HEALTH_STATE_DEGRADED: Health.DEGRADED,
    capability_pb2.HEALTH_STATE_UNHEALTHY: Health.UNHEALTHY,
}


def _ladder_from(owned: capability_service_pb2.OwnedLadder) -> tuple[LadderKey, Ladder]:
    ladder = owned.ladder
    key = (owned.tenant_id, modality_name(ladder.modality), ladder.task_type)
    return key, Ladder(tuple(ladder.capability_ids), ladder.version)


class GatewayTenants:
    """Plans of tenants, kept half a minute; an unknown tenant has none."""

    def __init__(self, stub: TenantServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self._plans: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def plan(self, tenant_id: str) -> str:
        """The tenant's plan. While the gateway is away the last one heard holds; with none, DEPENDENCY_UNAVAILABLE."""
        kept = self._plans.get(tenant_id)
        now = self._clock.monotonic()
        if kept is not None and now < kept[0]:
            return kept[1]
        try:
            tenant = await self._stub.GetTenant(identity_service_pb2.GetTenantRequest(tenant_id=tenant_id))
            plan = tenant.plan
        except SomaError as error:
            if error.reason is Reason.NOT_FOUND:
                plan = ""
            elif kept is not None:
                return kept[1]
            else:
                raise
        self._plans[tenant_id] = (now + PLAN_TTL_S, plan)
        if len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan


class GatewayDegradation:
    """The mesh's level as the gateway streams it; UNKNOWN while it is not heard."""

    def __init__(self, stub: DegradationServiceAsyncStub, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self.level = "UNKNOWN"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the stream until left."""
        async with background(self._run, "degradation-feed"):
            yield

    async def _run(self) -> None:
        while True:
            try:
                async for status in self._stub.WatchStatus(health_service_pb2.WatchStatusRequest()):
                    name = health_service_pb2.DegradationLevel.Name(status.level)
                    self.level = name.removeprefix("DEGRADATION_LEVEL_").replace("UNSPECIFIED", "UNKNOWN")
            except SomaError as error:
                if self.level != "UNKNOWN":
                    _log.warning("the gateway's status is not heard", reason=error.reason.value)
            self.level = "UNKNOWN"
            await self._clock.sleep(PAUSE_S)
