"""What an operator does about a tenant's private capability, over gRPC and once for each request id."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.identity import Claims
from mesh.testing.server import served
from soma.registry.v1 import capability_service_pb2 as pb
from soma.registry.v1.capability_pb2 import LIFECYCLE_DISABLED
from soma.registry.v1.capability_service_pb2_grpc import (
    CapabilityServiceStub,
    add_CapabilityServiceServicer_to_server,
)
from svc_registry.app import Catalog, Registry
from svc_registry.rpc import CapabilityServicer
from tests.contract.registry.samples import PRIVATE
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma.registry.v1.capability_service_pb2_grpc import CapabilityServiceAsyncStub
    from tests.contract.registry.samples import BothStore

OPERATOR = Claims(tenant_id="dev", subject="root", roles=("platform_admin",), key_id="key-root")
NAME, OWNER = PRIVATE.key


@asynccontextmanager
async def serving(store: BothStore) -> AsyncIterator[CapabilityServiceAsyncStub]:
    """Serves a registry over the store, which has the private capability, to an operator of another tenant."""
    await store.save_capability(PRIVATE, 0, "alice")
    clock = SystemClock()
    async with Catalog(store, store, "epoch", clock).running() as catalog:
        servicer = CapabilityServicer(Registry(store, catalog, clock), catalog, unasked)
        registrations = [(add_CapabilityServiceServicer_to_server, servicer)]
        async with served(registrations, caller=OPERATOR) as server:
            yield CapabilityServiceStub(server.channel)


async def test_a_private_capability_is_disabled_once(store: BothStore) -> None:
    disable = pb.DisableCapabilityRequest(capability_id=NAME, owner_tenant_id=OWNER, request_id="r")
    async with serving(store) as registry:
        for _ in range(2):
            answer = await registry.DisableCapability(disable)
            assert (answer.lifecycle, answer.version, answer.owner_tenant_id) == (LIFECYCLE_DISABLED, 2, OWNER)


async def test_a_private_capability_is_updated_once(store: BothStore) -> None:
    update = pb.UpdateCapabilityRequest(capability_id=NAME, owner_tenant_id=OWNER, request_id="r")
    update.capability.description = "new"
    update.update_mask.paths.append("description")
    async with serving(store) as registry:
        for _ in range(2):
            answer = await registry.UpdateCapability(update)
            assert (answer.description, answer.version) == ("new", 2)
        update.capability.description = "other"
        with pytest.raises(SomaError) as refused:
            await registry.UpdateCapability(update)
        assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_private_capability_is_deleted_once(store: BothStore) -> None:
    delete = pb.DeleteCapabilityRequest(capability_id=NAME, owner_tenant_id=OWNER, request_id="r")
    async with serving(store) as registry:
        for _ in range(2):
            answer = await registry.DeleteCapability(delete)
            assert (answer.HasField("delete_time"), answer.version) == (True, 2)
