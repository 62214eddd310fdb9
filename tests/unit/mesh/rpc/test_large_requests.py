"""A tenant that sends many large requests has them served one after the other, beside everybody's small ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.rpc.interceptor import Access, Call, MethodInfo
from mesh.rpc.interceptors.large_requests import LARGE_BYTES, LargeRequests
from mesh.rpc.values import FEW_VALUES
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL = {"text": "x"}
LONG = {"text": "x" * (LARGE_BYTES + 1)}
MANY = {"values": [1.5] * (FEW_VALUES + 1)}


class Handler:
    """A handler that is busy until it is told to end; counts who is served."""

    def __init__(self) -> None:
        self.interceptor = LargeRequests()
        self.serving: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.end = asyncio.Event()

    async def call(self, tenant: str, value: Mapping[str, object], *, response_streaming: bool = False) -> None:
        message = Struct()
        message.update(value)
        method = MethodInfo("svc", "Do", False, response_streaming, Access("job.read", False))
        caller = Caller(tenant, "alice", ("member",), (), "k", "t")
        call = Call(method, message, context=None, metadata={}, caller=caller)  # type: ignore[arg-type]
        await self.interceptor.intercept(call, self._serve)

    async def _serve(self, call: Call) -> object:
        assert call.caller is not None
        tenant = call.caller.tenant_id
        self.serving[tenant] += 1
        self.most[tenant] = max(self.most[tenant], self.serving[tenant])
        await self.end.wait()
        self.serving[tenant] -= 1
        return None


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.mark.parametrize("large", [LONG, MANY])
async def test_large_requests_of_a_tenant_take_turns(handler: Handler, large: Mapping[str, object]) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(handler.call("hostile", large))
        await eventually(lambda: handler.serving["hostile"] == 1)
        handler.end.set()
    assert handler.most["hostile"] == 1


async def test_another_tenants_large_request_is_served_beside_them(handler: Handler) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(handler.call("hostile", LONG))
        group.create_task(handler.call("innocent", LONG))
        await eventually(lambda: handler.serving["innocent"] == 1)
        handler.end.set()


async def test_small_requests_and_streams_wait_for_nobody(handler: Handler) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(handler.call("hostile", LONG))
        for _ in range(3):
            group.create_task(handler.call("hostile", SMALL))
            group.create_task(handler.call("hostile", LONG, response_streaming=True))
        await eventually(lambda: handler.serving["hostile"] == 7)
        handler.end.set()


async def test_too_many_that_wait_are_refused(handler: Handler) -> None:
    waiting = [asyncio.create_task(handler.call("hostile", LONG)) for _ in range(65)]
    await eventually(lambda: handler.interceptor.waiting == 64)
    with pytest.raises(SomaError) as refused:
        await handler.call("hostile", LONG)
    assert refused.value.reason is Reason.OVERLOADED
    handler.end.set()
    await asyncio.gather(*waiting)
