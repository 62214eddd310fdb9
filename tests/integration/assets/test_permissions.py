"""What the gateway says of the caller bounds what is stored."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError, is_transient
from mesh.testing import FakeClock
from mesh.testing.server import served
from mesh.testing.tokens import ALICE, acting_as
from soma.gateway.v1 import permission_service_pb2 as pb
from soma.gateway.v1.permission_service_pb2_grpc import (
    PermissionServiceServicer,
    PermissionServiceStub,
    add_PermissionServiceServicer_to_server,
)
from svc_assets.adapters.peers import CACHE_TTL_S, MAX_STALE_S, GatewayPermissions
from svc_assets.domain.limits import MediaKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Gateway(PermissionServiceServicer):
    def __init__(self) -> None:
        self.asked = 0
        self.token = ""
        self.failure: SomaError | None = None

    async def GetEffectivePermissions(  # noqa: N802 - the contract's name
        self, request: pb.GetEffectivePermissionsRequest, context: object
    ) -> pb.EffectivePermissions:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        limits = pb.AssetByteLimits(image=7)
        return pb.EffectivePermissions(max_asset_bytes=limits, data_classification_floor="sensitive")


@asynccontextmanager
async def permissions(clock: FakeClock) -> AsyncIterator[tuple[GatewayPermissions, Gateway]]:
    gateway = Gateway()
    async with served([(add_PermissionServiceServicer_to_server, gateway)]) as server:
        gateway.token = await server.issuer.token()
        with acting_as(replace(ALICE, key_id="key-1"), token=gateway.token):
            yield GatewayPermissions(PermissionServiceStub(server.channel), clock), gateway


async def test_limits_and_floor_come_from_the_gateway() -> None:
    async with permissions(FakeClock()) as (source, _):
        found = await source.get_for_caller()
    assert (found.max_bytes[MediaKind.IMAGE], found.max_bytes[MediaKind.TEXT]) == (7, 0)
    assert found.classification_floor == "sensitive"


async def test_permissions_are_asked_once_a_moment_for_each_key() -> None:
    clock = FakeClock()
    async with permissions(clock) as (source, gateway):
        for _ in range(3):
            await source.get_for_caller()
        assert gateway.asked == 1
        with acting_as(replace(ALICE, key_id="key-2"), token=gateway.token):
            await source.get_for_caller()
        assert gateway.asked == 2
        await clock.advance(CACHE_TTL_S)
        await source.get_for_caller()
        assert gateway.asked == 3


async def test_older_permissions_are_good_for_a_while_when_the_gateway_is_away() -> None:
    clock = FakeClock()
    async with permissions(clock) as (source, gateway):
        known = await source.get_for_caller()
        gateway.failure = SomaError(Reason.UNAVAILABLE, "away")
        await clock.advance(CACHE_TTL_S)
        assert await source.get_for_caller() == known
        await clock.advance(MAX_STALE_S)
        with pytest.raises(SomaError) as refused:
            await source.get_for_caller()
    assert is_transient(refused.value)


async def test_a_key_that_may_nothing_any_more_is_refused_at_once() -> None:
    clock = FakeClock()
    async with permissions(clock) as (source, gateway):
        await source.get_for_caller()
        gateway.failure = SomaError(Reason.UNAUTHENTICATED, "revoked")
        await clock.advance(CACHE_TTL_S)
        with pytest.raises(SomaError) as refused:
            await source.get_for_caller()
    assert refused.value.reason is Reason.UNAUTHENTICATED
