"""The current request is known below, and nowhere else."""

from __future__ import annotations

import asyncio

import pytest

from mesh import context
from mesh.context import Caller, RequestContext
from mesh.errors import Reason, SomaError

ALICE = Caller("acme", "alice", ("member",), (), "key", token="secret-token")


def request(caller: Caller | None) -> RequestContext:
    return RequestContext(caller=caller, request_id="r", trace_id="t")


def test_outside_of_a_request_there_is_none() -> None:
    assert context.current() is None
    with pytest.raises(SomaError) as caught:
        context.caller()
    assert caught.value.reason is Reason.UNAUTHENTICATED


def test_a_request_without_a_caller_has_none() -> None:
    with context.use(request(None)), pytest.raises(SomaError) as caught:
        context.caller()
    assert caught.value.reason is Reason.UNAUTHENTICATED


def test_the_inner_request_ends_with_its_block() -> None:
    with context.use(request(ALICE)):
        with context.use(request(None)):
            assert context.current() == request(None)
        assert context.caller() is ALICE
    assert context.current() is None


async def test_tasks_started_within_a_request_belong_to_it() -> None:
    async def who() -> str:
        return context.caller().subject

    with context.use(request(ALICE)):
        task = asyncio.create_task(who())
    assert await task == "alice"


def test_a_caller_is_printed_without_the_token() -> None:
    assert "secret-token" not in repr(request(ALICE))
