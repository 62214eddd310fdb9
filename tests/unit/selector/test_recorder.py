"""Decisions are written in batches, in order, and none is lost while the database is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY

from mesh.errors import Reason, SomaError
from mesh.testing import FakeClock
from svc_selector.app import Recorder
from svc_selector.app.recorder import BATCH_DELAY_S, BATCH_SIZE, MAX_QUEUED, RETRY_DELAY_S
from svc_selector.domain.model import Candidate
from svc_selector.rpc import SelectionConverter
from tests.in_memory.selector import MemoryDecisionStore
from tests.unit.selector.deciding import of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.domain.decision import Decision


class Store(MemoryDecisionStore):
    """Takes batches, each once `go` is set; refuses them while `away`, and those with a decision of `bad` for ever."""

    def __init__(self) -> None:
        super().__init__(SelectionConverter().to_bytes)
        self.batches: list[list[str]] = []
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.away = False
        self.bad: dict[str, Exception] = {}

    async def record(self, decisions: Sequence[Decision]) -> None:
        self.begun.set()
        ids = [decision.selection_id for decision in decisions]
        await self.go.wait()
        if self.away:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        for id_ in ids:
            if id_ in self.bad:
                raise self.bad[id_]
        self.batches.append(ids)

    @property
    def written(self) -> list[str]:
        return [id_ for batch in self.batches for id_ in batch]


def unrecorded() -> float:
    return REGISTRY.get_sample_value("selector_unrecorded_total") or 0


async def given(store: Store, made: Sequence[Decision]) -> Recorder:
    """A recorder that was given decisions to write."""
    recorder = Recorder(store, FakeClock())
    for decision in made:
        await recorder.record(decision)
    return recorder


def some(count: int) -> list[Decision]:
    """So many decisions outside of any job."""
    candidate = Candidate("a@b", "a", "b", ("image",), ("image",))
    return [of("acme", "", candidate) for _ in range(count)]


async def test_what_comes_while_a_batch_is_written_waits_for_the_next_time() -> None:
    store = Store()
    first, late = some(3), some(2)
    recorder = await given(store, first)
    store.go.clear()
    flushing = asyncio.create_task(recorder.flush())
    await store.begun.wait()
    for decision in late:
        await recorder.record(decision)
    store.go.set()
    await flushing
    assert store.batches == [[decision.selection_id for decision in first]]
    await recorder.flush()
    assert store.batches[1:] == [[decision.selection_id for decision in late]]


async def test_many_are_written_in_batches_in_order() -> None:
    store = Store()
    made = some(BATCH_SIZE + 7)
    recorder = await given(store, made)
    await recorder.flush()
    assert [len(batch) for batch in store.batches] == [BATCH_SIZE, 7]
    assert store.written == [decision.selection_id for decision in made]


async def test_nothing_is_lost_when_the_queue_fills_while_the_database_is_away() -> None:
    """A batch that could not be written keeps its place; it does not compete with callers for room in the queue."""
    store = Store()
    first, late = some(MAX_QUEUED), some(BATCH_SIZE + 1)
    recorder = await given(store, first)
    store.away = True
    waiting = [asyncio.create_task(recorder.record(decision)) for decision in late]
    store.go.clear()
    flushing = asyncio.create_task(recorder.flush())
    await store.begun.wait()
    await asyncio.gather(*waiting[:BATCH_SIZE])  # the room of the batch in hand
    store.go.set()
    with pytest.raises(SomaError):
        await flushing
    store.away = False
    await recorder.flush()
    await asyncio.gather(*waiting)
    await recorder.flush()
    assert store.written == [decision.selection_id for decision in (*first, *late)]


async def test_what_can_never_be_written_holds_up_nothing() -> None:
    store, made = Store(), some(5)
    store.bad[made[1].selection_id] = ValueError("too large to travel")
    store.bad[made[3].selection_id] = SomaError(Reason.INVALID_ARGUMENT, "cannot be stored")
    before = unrecorded()
    await (await given(store, made)).flush()
    assert store.written == [made[place].selection_id for place in (0, 2, 4)]
    assert unrecorded() - before == len(store.bad)


async def test_a_database_that_goes_away_while_the_rest_is_written_is_waited_for() -> None:
    store, made = Store(), some(3)
    store.bad[made[0].selection_id] = ValueError("too large to travel")
    store.bad[made[2].selection_id] = SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
    before = unrecorded()
    recorder = await given(store, made)
    with pytest.raises(SomaError):
        await recorder.flush()
    del store.bad[made[2].selection_id]
    await recorder.flush()
    assert store.written == [made[1].selection_id, made[2].selection_id]
    assert unrecorded() - before == 1


async def test_the_background_writes_after_a_pause_and_tries_again() -> None:
    store, clock = Store(), FakeClock()
    store.away = True
    [made] = some(1)
    async with Recorder(store, clock).running() as recorder:
        await recorder.record(made)
        assert await clock.sleeper() == pytest.approx(BATCH_DELAY_S)
        await clock.advance(BATCH_DELAY_S)
        assert await clock.sleeper() == pytest.approx(RETRY_DELAY_S)
        store.away = False
        await clock.advance(RETRY_DELAY_S)
        assert await clock.sleeper() == pytest.approx(BATCH_DELAY_S)
        await clock.advance(BATCH_DELAY_S)
    assert store.written == [made.selection_id]
