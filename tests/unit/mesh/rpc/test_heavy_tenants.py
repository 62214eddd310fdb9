"""Calls of tenants that keep the processors busy begin one after the other; everybody else's wait for nobody."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from prometheus_client import REGISTRY

from mesh.context import Caller
from mesh.identity import SYSTEM_TENANT
from mesh.processes import CpuUsage
from mesh.rpc.interceptor import Access, Call, MethodInfo
from mesh.rpc.interceptors.heavy_tenants import HeavyTenants
from mesh.testing import FakeClock
from mesh.testing.contract import eventually


class Use(CpuUsage):
    """Tenants whose names begin with `heavy` are."""

    def is_heavy(self, tenant_id: str) -> bool:
        return tenant_id.startswith("heavy")


class Server:
    """Two servers of one process, whose calls last until they are told to end; a light tenant has called one."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        use = Use(self.clock)
        use.record_light_tenant_call()
        self.use = use
        self.interceptors = [HeavyTenants(use), HeavyTenants(use)]
        self.began: list[str] = []
        self.serving: Counter[str] = Counter()
        self.most = 0
        self.end = asyncio.Event()

    async def call(self, tenant: str, *, server: int = 0, actor: str = "") -> None:
        method = MethodInfo("svc", "Do", False, False, Access("job.read", False))
        caller = Caller(tenant, "alice", ("member",), (), "k", "t", actor)
        call = Call(method, None, context=None, metadata={}, caller=caller)  # type: ignore[arg-type]
        await self.interceptors[server].intercept(call, self._serve)

    async def _serve(self, call: Call) -> object:
        assert call.caller is not None
        self.began.append(call.caller.tenant_id)
        self.serving[call.caller.tenant_id] += 1
        self.most = max(self.most, self.serving.total())
        await self.end.wait()
        self.serving[call.caller.tenant_id] -= 1
        return None


def metric() -> float | None:
    """How many calls wait, as operators see it."""
    return REGISTRY.get_sample_value("rpc_calls_waiting", {"reason": "heavy_tenant"})


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_next_call_begins_when_the_one_before_has_ended(server: Server) -> None:
    server.end.set()
    await asyncio.gather(*(server.call("heavy") for _ in range(20)), *(server.call("heavy", server=1) for _ in "ab"))
    assert server.began == ["heavy"] * 22
    assert server.most == 1


async def test_a_call_that_takes_long_does_not_hold_up_the_next(server: Server) -> None:
    calls = [asyncio.create_task(server.call("heavy")) for _ in range(4)]
    await eventually(lambda: server.serving["heavy"] == 1)
    await eventually(lambda: server.serving["heavy"] == len(calls))
    server.end.set()
    await asyncio.gather(*calls)
    await eventually(lambda: server.use.turns.in_use == 0)


async def test_after_a_call_others_have_the_server_for_a_while(server: Server) -> None:
    server.end.set()
    await server.call("heavy")
    assert server.use.turns.in_use == 1
    await eventually(lambda: server.use.turns.in_use == 0)


async def test_heavy_tenants_take_turns(server: Server) -> None:
    calls = [asyncio.create_task(server.call("heavy1")) for _ in range(3)]
    await eventually(lambda: server.began == ["heavy1"])
    calls.append(asyncio.create_task(server.call("heavy2", server=1)))
    await eventually(lambda: len(server.began) == len(calls))
    server.end.set()
    await asyncio.gather(*calls)
    assert server.began.index("heavy2") < len(calls) - 1


@pytest.mark.parametrize(("tenant", "actor"), [("light", ""), ("heavy", "executor")])
async def test_others_and_what_services_call_do_not_wait(server: Server, tenant: str, actor: str) -> None:
    await server.use.turns.acquire("heavy")
    call = asyncio.create_task(server.call(tenant, actor=actor))
    await eventually(lambda: server.began == [tenant])
    server.end.set()
    await call
    assert server.use.turns.in_use == 1


async def test_a_call_that_goes_away_while_it_waits_leaves_its_place(server: Server) -> None:
    await server.use.turns.acquire("heavy")
    waiting = asyncio.create_task(server.call("heavy"))
    await eventually(lambda: server.use.turns.waiting == 1)
    assert metric() == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert [server.use.turns.waiting, server.use.turns.in_use, server.began, metric()] == [0, 1, [], 0]


async def test_while_no_other_tenant_calls_nothing_waits(server: Server) -> None:
    await server.clock.advance(11.0)
    server.end.set()
    await server.call(SYSTEM_TENANT)  # the mesh itself is no other tenant
    server.end.clear()
    calls = [asyncio.create_task(server.call("heavy")) for _ in range(4)]
    await eventually(lambda: server.serving["heavy"] == len(calls))
    assert server.use.turns.in_use == 0
    server.end.set()
    await asyncio.gather(*calls, server.call("light", server=1))
    await server.call("heavy")
    assert server.use.turns.in_use == 1
