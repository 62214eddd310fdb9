"""No tenant's schema and no caller's parameters hold up the others."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from svc_selector.app.judge import INLINE_BYTES
from svc_selector.domain.model import Ask, KeptParams, Lifecycle, Offer
from tests.unit.multimodal.selecting import NEED, SUBJECT, bench, offer


class Watched:
    """A schema that fits all, and notes in which thread and after how many turns of the loop it was asked."""

    def __init__(self) -> None:
        self.turns = 0
        self.asked: list[tuple[int, bool]] = []

    def first_error(self, value: object) -> str:
        self.asked.append((self.turns, threading.current_thread() is threading.main_thread()))
        return ""

    async def count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


async def checked(offers: list[Offer], schema: Watched, size: int) -> None:
    """Selects with parameters of a size."""
    ask = Ask(replace(NEED, params={"x": 1}), kept_params=KeptParams({"x": 1}, size_bytes=size))
    others = asyncio.create_task(schema.count())
    await asyncio.sleep(0)
    await bench(offers).selector.select(ask, SUBJECT)
    others.cancel()


async def test_others_get_their_turn_after_each_schema_of_a_tenant() -> None:
    schema = Watched()
    await checked([offer(f"t{number}@acme", owner="acme", schema=schema) for number in range(4)], schema, 10)
    turns = [turn for turn, _ in schema.asked]
    assert turns == sorted(set(turns))


@pytest.mark.parametrize(("size", "on_loop"), [(INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
async def test_large_parameters_are_checked_in_a_thread(size: int, on_loop: bool) -> None:
    schema = Watched()
    await checked([offer("t@local", schema=schema)], schema, size)
    assert [where for _, where in schema.asked] == [on_loop]


async def test_what_cannot_serve_anyhow_is_not_checked() -> None:
    schema = Watched()
    disabled = offer("t@local", schema=schema, lifecycle=Lifecycle.DISABLED)
    await checked([disabled, offer("u@local", schema=schema)], schema, 10)
    assert len(schema.asked) == 1
