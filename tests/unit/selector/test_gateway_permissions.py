"""What callers may use is asked often enough to be true, and seldom enough to be cheap."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.context import current
from mesh.errors import Reason, SomaError
from mesh.testing import ALICE, FakeClock, acting_as
from soma.gateway.v1.permission_service_pb2 import EffectivePermissions
from svc_selector.adapters.peers import gateway
from svc_selector.adapters.peers.gateway import CACHE_TTL_S, CALL_TIMEOUT_S, RETRY_DELAY_S, GatewayPermissions
from svc_selector.domain.permissions import Permissions

if TYPE_CHECKING:
    from soma.gateway.v1.permission_service_pb2 import GetEffectivePermissionsRequest

STALE_S = 60.0
ANSWER = EffectivePermissions(
    tenant_id="acme", plan="pro", denied_providers=["p"], denied_tools=["t"], max_cost_tier="low",
    data_classification_floor="internal", personas=["a"], capsules=["c"],
)  # fmt: skip
PERMISSIONS = Permissions("pro", ("p",), ("t",), "low", "internal", ("a",), ("c",))
AWAY = SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
REVOKED = SomaError(Reason.UNAUTHENTICATED, "revoked")


class Gateway:
    """Answers what a test says, once `go` is set."""

    def __init__(self) -> None:
        self.answer: EffectivePermissions | SomaError = ANSWER
        self.asked = 0
        self.asked_by: list[tuple[str, float | None]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def GetEffectivePermissions(  # noqa: N802
        self,
        _: GetEffectivePermissionsRequest,
        *,
        timeout: float,  # noqa: ASYNC109
    ) -> EffectivePermissions:
        self.asked += 1
        self.timeout = timeout
        request = current()
        if request is not None and request.caller is not None:
            self.asked_by.append((request.caller.subject, request.deadline))
        await self.go.wait()
        if isinstance(self.answer, SomaError):
            raise self.answer
        return self.answer


class Asked:
    """The adapter, the gateway that it asks and the clock of both."""

    def __init__(self) -> None:
        self.gateway, self.clock = Gateway(), FakeClock()
        self.permissions = GatewayPermissions(self.gateway, self.clock, STALE_S)  # type: ignore[arg-type]

    async def get(self, tenant_id: str = "acme", key_id: str = "k") -> Permissions:
        return await self.permissions.get(tenant_id, key_id)


async def test_every_permission_is_taken_over() -> None:
    assert await Asked().get() == PERMISSIONS


async def test_a_gateway_that_hangs_is_not_waited_for_until_the_callers_deadline() -> None:
    asked = Asked()
    await asked.get()
    assert asked.gateway.timeout == CALL_TIMEOUT_S


async def test_an_answer_is_fresh_for_some_seconds() -> None:
    asked = Asked()
    await asked.get()
    await asked.clock.advance(CACHE_TTL_S - 0.1)
    await asked.get()
    assert asked.gateway.asked == 1
    asked.gateway.answer = EffectivePermissions(plan="none")
    await asked.clock.advance(0.2)
    assert (await asked.get()).plan == "none"


async def test_each_tenant_and_key_has_an_answer_of_its_own() -> None:
    asked = Asked()
    for whose in (("acme", "k"), ("acme", "other"), ("umbrella", "k")):
        await asked.get(*whose)
    assert asked.gateway.asked == 3


async def test_callers_of_one_key_share_a_call() -> None:
    asked = Asked()
    asked.gateway.go.clear()
    waiting = [asyncio.create_task(asked.get()) for _ in range(10)]
    await asyncio.sleep(0)
    asked.gateway.go.set()
    assert await asyncio.gather(*waiting) == [PERMISSIONS] * 10
    assert asked.gateway.asked == 1


async def test_a_caller_that_gives_up_leaves_the_answer_to_the_others() -> None:
    asked = Asked()
    asked.gateway.go.clear()
    first, second = (asyncio.create_task(asked.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    asked.gateway.go.set()
    assert await second == PERMISSIONS


async def test_a_caller_in_a_hurry_does_not_bound_the_call_that_others_share() -> None:
    asked = Asked()
    asked.gateway.go.clear()
    with acting_as(ALICE, deadline=asked.clock.monotonic() + 0.001):
        first = asyncio.create_task(asked.get())
        await asyncio.sleep(0)
    second = asyncio.create_task(asked.get())
    asked.gateway.go.set()
    assert await asyncio.gather(first, second) == [PERMISSIONS] * 2
    assert asked.gateway.asked_by == [("alice", None)]


async def test_while_the_gateway_is_away_the_last_answer_holds_for_a_bounded_time() -> None:
    asked = Asked()
    await asked.get()
    asked.gateway.answer = AWAY
    await asked.clock.advance(STALE_S - 1)
    assert await asked.get() == PERMISSIONS
    await asked.clock.advance(1)
    with pytest.raises(SomaError) as refused:
        await asked.get()
    assert refused.value.reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_gateway_that_is_away_is_not_asked_for_every_caller() -> None:
    asked = Asked()
    await asked.get()
    asked.gateway.answer = AWAY
    await asked.clock.advance(CACHE_TTL_S)
    for _ in range(3):
        await asked.get()
    assert asked.gateway.asked == 2
    await asked.clock.advance(RETRY_DELAY_S)
    asked.gateway.answer = EffectivePermissions(plan="enterprise")
    assert (await asked.get()).plan == "enterprise"


async def test_without_any_answer_the_call_fails() -> None:
    asked = Asked()
    asked.gateway.answer = AWAY
    with pytest.raises(SomaError):
        await asked.get()


async def test_a_refused_key_is_refused_though_it_was_known() -> None:
    asked = Asked()
    await asked.get()
    await asked.clock.advance(CACHE_TTL_S)
    asked.gateway.answer = REVOKED
    with pytest.raises(SomaError) as refused:
        await asked.get()
    assert refused.value.reason is Reason.UNAUTHENTICATED
    asked.gateway.answer = AWAY
    with pytest.raises(SomaError):
        await asked.get()


async def test_an_unknown_tenant_may_use_nothing() -> None:
    asked = Asked()
    asked.gateway.answer = SomaError(Reason.NOT_FOUND, "no such tenant")
    assert await asked.get() == Permissions()


async def test_no_more_than_a_bounded_number_of_answers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAX_CACHED", 2)
    asked = Asked()
    for key in ("a", "b", "a", "c"):
        await asked.get(key_id=key)
    assert [key for _, key in asked.permissions._cache] == ["a", "c"]
