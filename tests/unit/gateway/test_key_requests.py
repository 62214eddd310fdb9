"""What a request for an API key may say, through the whole chain of a server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import protovalidate
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.testing import FakeClock
from mesh.testing.server import served
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub, add_ApiKeyServiceServicer_to_server
from svc_gateway.app.keys import ApiKeyUseCases, KeySpec
from svc_gateway.app.permissions import Permissions
from svc_gateway.rpc.api_key_service import ApiKeyServicer
from tests.in_memory.gateway import InMemoryKeyStore, InMemoryTenantStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.identity import Claims
    from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceAsyncStub

ASSETS = "spiffe://soma/assets"
SERVICES = [ASSETS, "SPIFFE://soma/assets", f"  {ASSETS}", f"\t{ASSETS}", f"\u00a0{ASSETS}", f"\u200b{ASSETS}"]


class Minter:
    """Signs nothing."""

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        return "jws"


@pytest.fixture
def keys() -> ApiKeyUseCases:
    permissions = Permissions(InMemoryTenantStore(), InMemoryKeyStore(), "test")
    return ApiKeyUseCases(InMemoryKeyStore(), permissions, Minter(), "test", clock=FakeClock(), ids=SystemIds())


@asynccontextmanager
async def serving(keys: ApiKeyUseCases) -> AsyncIterator[ApiKeyServiceAsyncStub]:
    """Serves the creation of keys to an administrator."""
    unused = cast("Any", None)
    servicer = ApiKeyServicer(keys, unused, unused, unused, unused)
    async with served([(add_ApiKeyServiceServicer_to_server, servicer)]) as server:
        yield ApiKeyServiceStub(server.channel)


async def refused_fields(keys: ApiKeyUseCases, key: pb.ApiKey) -> list[str]:
    """The fields that make the request INVALID_ARGUMENT."""
    async with serving(keys) as stub:
        with pytest.raises(SomaError) as refused:
            await stub.CreateApiKey(pb.CreateApiKeyRequest(api_key=key))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    return [violation.field for violation in refused.value.fields]


@pytest.mark.parametrize("subject", SERVICES, ids=ascii)
async def test_a_key_does_not_act_as_a_service(keys: ApiKeyUseCases, subject: str) -> None:
    assert await refused_fields(keys, pb.ApiKey(display_name="k", subject=subject)) == ["api_key.subject"]


@pytest.mark.parametrize("subject", SERVICES, ids=ascii)
def test_the_contract_tells_that_a_key_does_not_act_as_a_service(subject: str) -> None:
    request = pb.CreateApiKeyRequest(api_key=pb.ApiKey(display_name="k", subject=subject))
    [violation] = protovalidate.collect_violations(request)
    assert [element.field_name for element in violation.proto.field.elements] == ["api_key", "subject"]
    assert violation.proto.message == "must not contain spiffe://, which names services"


@pytest.mark.parametrize("subject", SERVICES, ids=ascii)
async def test_the_rule_of_subjects_holds_without_the_contract(keys: ApiKeyUseCases, subject: str) -> None:
    for caller_subject, wanted in (("alice", subject), (subject, "")):
        caller = Caller("acme", caller_subject, ("admin",), (), "k", "token")
        with pytest.raises(SomaError) as refused:
            await keys.create(caller, KeySpec("k", subject=wanted))
        assert refused.value.reason is Reason.INVALID_ARGUMENT
        assert [violation.field for violation in refused.value.fields] == ["api_key.subject"]


@pytest.mark.parametrize("subject", ["", "alice", "robot@example.com", "spiffe"])
async def test_other_subjects_are_taken(keys: ApiKeyUseCases, subject: str) -> None:
    async with serving(keys) as stub:
        made = await stub.CreateApiKey(pb.CreateApiKeyRequest(api_key=pb.ApiKey(display_name="k", subject=subject)))
    assert made.subject == (subject or "alice")


@pytest.mark.parametrize(("seconds", "nanos"), [(10**13, 0), (253_402_300_800, 0), (-1, 0), (1, 10**9), (1, -1)])
async def test_a_key_that_expires_at_no_time_is_refused(keys: ApiKeyUseCases, seconds: int, nanos: int) -> None:
    expire_time = Timestamp(seconds=seconds, nanos=nanos)
    assert await refused_fields(keys, pb.ApiKey(display_name="k", expire_time=expire_time)) == ["api_key.expire_time"]
