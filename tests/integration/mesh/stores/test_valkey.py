"""The Valkey client: replies reach who asked, outages are named."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from mesh.errors import Reason, SomaError
from mesh.settings import ValkeySettings
from mesh.stores import valkey as store

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def test_a_cancelled_call_never_bleeds_into_another(valkey: Redis) -> None:
    """Invariant 6, short form: calls cut at random moments, every answer carries the nonce that was asked for."""
    rng = Random(20260101)
    cancelled, answered = 0, 0

    async def ask(nonce: str) -> None:
        assert await valkey.echo(nonce) == nonce.encode()

    for round_ in range(300):
        tasks = [asyncio.create_task(ask(f"{round_}-{number}")) for number in range(5)]
        for _ in range(rng.randrange(5)):
            await asyncio.sleep(0)
        for task in tasks[:3]:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, asyncio.CancelledError):
                cancelled += 1
            else:
                assert result is None
                answered += 1
    assert cancelled > 100
    assert answered >= 600


async def test_a_server_that_is_away_is_an_unavailable_dependency() -> None:
    async def ask() -> None:
        async with store.open(ValkeySettings(url=SecretStr("redis://127.0.0.1:9/0"))) as client:
            with store.translate_errors():
                await client.ping()

    with pytest.raises(SomaError) as caught:
        await ask()
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
