"""The local model is in memory no longer than it is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.testing import FakeClock
from soma_providers.smollm import adapter as smollm
from soma_providers.smollm.adapter import SmolLm
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IDLE_S = 60.0
CALL = harness.invocation({"prompt": "Write of passkeys.", "sentences": 1})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def chat(clock: FakeClock) -> AsyncIterator[SmolLm]:
    async with harness.context() as context:
        provider = smollm.create(replace(context, clock=clock, idle_s=IDLE_S))
        assert isinstance(provider, SmolLm)
        yield provider
        await provider.aclose()


async def idle(clock: FakeClock) -> None:
    """Let the term pass."""
    await clock.sleeper()
    await clock.advance(IDLE_S)
    await clock.sleeper()


async def test_an_idle_model_is_unloaded_and_answers_the_same_afterwards(chat: SmolLm, clock: FakeClock) -> None:
    assert not chat.loaded
    before = await chat.invoke(CALL)
    assert chat.loaded
    await idle(clock)
    assert not chat.loaded
    assert (await chat.invoke(CALL)).text == before.text


async def test_a_model_that_writes_is_not_unloaded_under_it(chat: SmolLm, clock: FakeClock) -> None:
    writing = asyncio.create_task(chat.invoke(harness.invocation({"prompt": "Write of passkeys.", "sentences": 4})))
    await clock.sleeper()
    while not writing.done():
        await clock.advance(IDLE_S)
        await clock.sleeper()
        await asyncio.wait((writing,), timeout=0.05)
    assert (await writing).text


async def test_closing_lets_go_of_the_model(chat: SmolLm) -> None:
    await chat.invoke(CALL)
    await chat.aclose()
    assert not chat.loaded
