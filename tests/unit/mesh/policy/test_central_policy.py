"""A central OPA that is slow, away or changed holds up nobody but who asks it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from mesh.policy import CentralOpa, Policy, PolicyUnavailable
from mesh.policy.central import REFRESH_S
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RULE = "data.soma.authz.allow"


@dataclass
class Opa:
    """Answers each request of its Data API with true, and tells how many there were; or hangs."""

    revision: str = "first"
    hangs: bool = False
    asked: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            self.asked += 1
            self.reached.set()
            if self.hangs:
                await asyncio.Event().wait()
            told = {"result": True, "provenance": {"bundles": {"soma": {"revision": self.revision}}}}
            body = json.dumps(told).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


@asynccontextmanager
async def opened(opa: Opa) -> AsyncIterator[Opa]:
    served: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.append(task)
        try:
            await opa.answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    opa.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield opa
    server.close()
    for task in served:
        task.cancel()
    await asyncio.gather(*served, return_exceptions=True)


async def test_the_policy_id_is_read_without_asking_opa() -> None:
    async with opened(Opa()) as opa, Policy(CentralOpa(opa.url, FakeClock())) as policy:
        before = opa.asked
        assert [policy.policy_id for _ in range(100)] == ["first"] * 100
        assert opa.asked == before


async def test_every_answer_tells_the_policy_id() -> None:
    async with opened(Opa()) as opa, Policy(CentralOpa(opa.url, FakeClock())) as policy:
        opa.revision = "second"
        assert await policy.evaluate(RULE, {}) is True
        assert policy.policy_id == "second"


async def test_the_policy_id_is_fresh_though_nobody_asks() -> None:
    clock = FakeClock()
    async with opened(Opa()) as opa, Policy(CentralOpa(opa.url, clock)) as policy:
        opa.revision = "second"
        assert await clock.sleeper() == REFRESH_S
        opa.reached.clear()
        await clock.advance(REFRESH_S)
        await opa.reached.wait()
        await clock.sleeper()
        assert policy.policy_id == "second"


async def test_what_opa_told_last_is_the_policy_id_while_it_is_away() -> None:
    async with opened(Opa()) as opa:
        central = CentralOpa(opa.url, FakeClock(), timeout_s=60.0)
        async with Policy(central) as policy:
            opa.hangs = True
            central._timeout_s = 0.0
            with pytest.raises(PolicyUnavailable):
                await policy.evaluate(RULE, {})
            assert policy.policy_id == "first"


async def test_an_opa_that_hangs_holds_up_only_who_asks() -> None:
    async with opened(Opa()) as opa, Policy(CentralOpa(opa.url, FakeClock(), timeout_s=60.0)) as policy:
        opa.hangs = True
        opa.reached.clear()
        waiting = [asyncio.create_task(policy.evaluate(RULE, {})) for _ in range(200)]
        await opa.reached.wait()  # on the same loop
        assert policy.policy_id == "first"
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


async def test_who_cannot_wait_is_told_so_where_opa_is_central() -> None:
    async with opened(Opa()) as opa, Policy(CentralOpa(opa.url, FakeClock())) as policy:
        with pytest.raises(PolicyUnavailable):
            policy.evaluate_sync(RULE, {})
