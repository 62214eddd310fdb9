"""Readers notice nothing of a replica that is killed while others of its context run."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from mesh.ids import rng
from mesh.testing.contract import eventually
from tests.chaos.contexts.messages.injector import FaultInjector
from tests.chaos.contexts.messages.message_run import MessageRun
from tests.chaos.contexts.replicas.replica_run import ROUTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.conftest import RunningMesh

SEED = 20261129
READS_BETWEEN = 20
_WITHIN_S = 120.0


class Readers:
    """Read from every context again and again, each one after its last answer; nothing is sent again."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self._api = api
        self.read: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read while entered."""
        tasks = [asyncio.create_task(self._read(context)) for context in ROUTES]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def some(self) -> None:
        """Wait for further reads of every context."""
        before = self.read + self.failed
        await eventually(
            lambda: all((self.read + self.failed)[each] - before[each] >= READS_BETWEEN for each in ROUTES),
            within_s=_WITHIN_S,
        )

    async def _read(self, context: str) -> None:
        while True:
            try:
                answer = await self._api.get(ROUTES[context])
            except httpx.TransportError:
                self.failed[context] += 1
            else:
                (self.read if answer.is_success else self.failed)[context] += 1


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_a_killed_replica_of_three_is_not_noticed_by_readers(three_of_each: RunningMesh) -> None:
    """The planted bug: all replicas of a context are killed at once, which must be noticed."""
    injector = FaultInjector(three_of_each, ())
    async with MessageRun.open(three_of_each, SEED, rng(SEED), 0.0) as message_run:
        readers = Readers(message_run.api)
        async with readers.reading():
            for context in ROUTES:
                await readers.some()
                await injector.kill(f"svc-{context}-2")
                await injector.over()
            await readers.some()
        done = f"{readers.read.total()} reads, {injector.kills.total()} kills, failed {dict(readers.failed)}"
        print(f"seed {SEED}: {done}")  # noqa: T201 - to be repeated
        assert injector.kills.total() == len(ROUTES)
        assert readers.failed == {}
        async with readers.reading():
            for number in (1, 2, 3):
                await injector.kill(f"svc-critic-{number}")
            await eventually(lambda: readers.failed["critic"] > 0, within_s=_WITHIN_S)
