"""Requests that nobody could serve are refused before anything looks at them: too many values, or no message."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct

from mesh import context
from mesh.errors import SomaError
from mesh.rpc.interceptor import Call, MethodInfo
from mesh.rpc.interceptors.validation import Validation
from mesh.rpc.status import DETAILS_KEY
from mesh.rpc.values import FEW_VALUES, MAX_VALUES, count_values
from mesh.testing.contract import eventually
from soma.registry.v1.capability_pb2 import Capability, PriceList
from soma.registry.v1.capability_service_pb2 import FindCandidatesRequest, UpdateCapabilityRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import protovalidate
    from google.protobuf.message import Message


class Rules:
    """Breaks no rule, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def collect_violations(self, message: Message, /, *, fail_fast: bool) -> Sequence[protovalidate.Violation]:
        self.asked.append(fail_fast)
        return []


async def check(request: object, rules: Rules, validation: Validation | None = None) -> None:
    method = MethodInfo("soma.test", "Test", request_streaming=False, response_streaming=False, access=None)

    async def continuation(_: Call) -> object:
        return None

    await (validation or Validation(rules)).intercept(Call(method, request, context=None, metadata={}), continuation)  # type: ignore[arg-type]


class SlowRules(Rules):
    """Holds each check until it is let go, and remembers who is being checked, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[int] = []
        self.let_go = threading.Event()

    def collect_violations(self, message: Message, /, *, fail_fast: bool) -> Sequence[protovalidate.Violation]:
        self.threads.append(threading.get_ident())
        self.let_go.wait(30)
        return super().collect_violations(message, fail_fast=fail_fast)


def request_of(tenant: str) -> context.RequestContext:
    return context.RequestContext(context.Caller(tenant, "someone", (), (), "", token=""), "r", "t")


def finding(value: object) -> FindCandidatesRequest:
    request = FindCandidatesRequest()
    request.requirements.params.update({"x": value})
    return request


async def check_many(tenant: str, rules: Rules, validation: Validation) -> None:
    """A call of a tenant with a message of many values."""
    with context.use(request_of(tenant)):
        await check(finding([1.0] * 10_000), rules, validation)


def test_fields_elements_and_what_they_hold_are_counted() -> None:
    prices = [{"micro_usd": 1, "unit": "PRICE_UNIT_CALL"}] * 1_000
    assert count_values(PriceList(prices=prices)) == 3_000  # type: ignore[arg-type]
    assert count_values(Capability(tags=["a"] * 5_000, tool_id="a")) == 5_001


def test_a_map_is_counted_with_what_it_holds() -> None:
    struct = Struct()
    struct.update({f"key{number}": [number, {}] for number in range(2_000)})
    assert count_values(struct) == 3 * 2_000


def test_a_short_message_is_not_counted() -> None:
    assert count_values(finding([1])) == 0


@pytest.mark.parametrize("value", [[[]] * MAX_VALUES, {str(number): {} for number in range(MAX_VALUES)}, "x" * 10**6])
async def test_rules_are_looked_at_for_as_many_values_as_can_be_checked(value: object) -> None:
    rules = Rules()
    if isinstance(value, str):
        await check(finding(value), rules)
        assert rules.asked == [False]
        return
    with pytest.raises(SomaError, match="more than 60,000 values"):
        await check(finding(value), rules)
    assert rules.asked == []


async def test_of_many_values_the_first_wrong_one_is_named_unless_a_mask_says_what_counts() -> None:
    rules, many = Rules(), ["a"] * 3 * FEW_VALUES
    await check(Capability(tags=many), rules)
    update = UpdateCapabilityRequest(capability=Capability(tags=many))
    update.update_mask.paths.append("display_name")
    await check(update, rules)
    assert rules.asked == [True, False]


async def test_many_values_are_checked_off_the_loop_and_those_of_one_tenant_one_after_the_other() -> None:
    rules = SlowRules()
    validation = Validation(rules)
    greedy = [asyncio.create_task(check_many("greedy", rules, validation)) for _ in range(4)]
    await eventually(lambda: len(rules.threads) == 1)
    innocent = asyncio.create_task(check_many("innocent", rules, validation))
    await eventually(lambda: len(rules.threads) == 2)
    rules.let_go.set()
    await asyncio.gather(*greedy, innocent)
    assert threading.get_ident() not in rules.threads
    assert len(rules.threads) == 5


async def test_a_cancelled_call_holds_its_slot_until_its_check_is_done() -> None:
    rules = SlowRules()
    validation = Validation(rules)
    cancelled = asyncio.create_task(check_many("acme", rules, validation))
    await eventually(lambda: len(rules.threads) == 1)
    waiting = asyncio.create_task(check_many("acme", rules, validation))
    await eventually(lambda: validation._threads.waiting == 1)
    cancelled.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    held = validation._threads.in_use, validation._threads.waiting
    rules.let_go.set()
    await waiting
    assert held == (1, 1)
    assert cancelled.cancelled()


async def test_a_mask_of_many_paths_is_refused() -> None:
    update = UpdateCapabilityRequest()
    update.update_mask.paths.extend(["tags"] * 201)
    with pytest.raises(SomaError, match="at most 200"):
        await check(update, Rules())


@pytest.mark.parametrize("kind", ["UnaryUnary", "StreamUnary"])
async def test_what_is_no_message_is_refused_in_the_usual_shape(
    raw: grpc.aio.Channel, authorized: tuple[tuple[str, str], ...], kind: str
) -> None:
    path, metadata = f"/probe.v1.Probe/{kind}", grpc.aio.Metadata(*authorized)
    no_message = b"\xff\xff"
    if kind == "UnaryUnary":
        answer = raw.unary_unary(path)(no_message, metadata=metadata)
    else:
        answer = raw.stream_unary(path)(iter([no_message]), metadata=metadata)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no message of its type" in (caught.value.details() or "")
    assert DETAILS_KEY in (caught.value.trailing_metadata() or ())
