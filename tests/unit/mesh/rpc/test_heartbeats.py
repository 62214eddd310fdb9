"""A stream that waits for news sends heartbeats, and loses nothing by it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS, Heartbeats
from mesh.settings import ServerSettings
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

BEAT = -1
NEVER, OFTEN = Heartbeats(60.0), Heartbeats(0.001)


async def beat() -> int:
    return BEAT


class Source:
    """Gives numbers when it is told to, and notes that it was closed."""

    def __init__(self) -> None:
        self.numbers: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            while (number := await self.numbers.get()) is not None:
                if isinstance(number, Exception):
                    raise number
                yield number
        finally:
            self.closed.set()


@pytest.mark.parametrize("heartbeats", [NEVER, OFTEN])
async def test_every_item_comes_once_and_in_order(heartbeats: Heartbeats) -> None:
    async def items() -> AsyncGenerator[int, None]:
        for number in range(500):
            if number % 7 == 0:
                await asyncio.sleep(0.0005)
            yield number

    got = [item async for item in heartbeats.add_to(items(), beat)]
    assert [item for item in got if item != BEAT] == list(range(500))


async def test_a_silence_is_broken_until_there_is_an_item() -> None:
    source = Source()
    async with aclosing(OFTEN.add_to(source.items(), beat)) as stream:
        assert [await anext(stream) for _ in range(3)] == [BEAT] * 3
        await source.numbers.put(5)
        while (item := await anext(stream)) == BEAT:
            pass
        assert item == 5


async def test_an_error_ends_the_stream_after_what_came_before_it() -> None:
    source = Source()
    await source.numbers.put(1)
    await source.numbers.put(SomaError(Reason.NOT_FOUND, "gone"))
    stream = NEVER.add_to(source.items(), beat)
    assert await anext(stream) == 1
    with pytest.raises(SomaError, match="gone"):
        await anext(stream)
    assert source.closed.is_set()


async def test_who_stops_listening_closes_the_source() -> None:
    source = Source()
    await source.numbers.put(1)
    async with aclosing(NEVER.add_to(source.items(), beat)) as stream:
        assert await anext(stream) == 1
    assert source.closed.is_set()


async def test_a_listener_that_is_cancelled_closes_the_source_although_an_item_waits() -> None:
    source = Source()
    for number in range(3):
        await source.numbers.put(number)

    async def listen() -> None:
        async with aclosing(NEVER.add_to(source.items(), beat)) as stream:
            async for _ in stream:
                await asyncio.Event().wait()

    listening = asyncio.create_task(listen())
    await eventually(source.numbers.empty)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert source.closed.is_set()


async def test_a_source_that_is_cancelled_from_within_ends_the_stream() -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        assert [item async for item in NEVER.add_to(items(), beat)] == [1]


def test_no_setting_lets_a_stream_be_silent_for_the_fifteen_seconds_of_the_contract() -> None:
    assert DEFAULT_HEARTBEATS.every_s == ServerSettings().heartbeat_s < 15
    with pytest.raises(ValueError, match="less than 15"):
        ServerSettings(heartbeat_s=15.0)
