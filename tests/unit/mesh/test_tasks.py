"""Tasks that are told to end do end."""

from __future__ import annotations

import asyncio

import pytest

from mesh import tasks


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.01)


async def test_a_task_is_cancelled_and_waited_for() -> None:
    undone = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await tasks.end(task)
    assert task.cancelled()
    assert undone.is_set()


async def test_a_task_that_lost_its_cancellation_is_cancelled_again() -> None:
    lost: list[asyncio.CancelledError] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            lost.append(error)
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.end(task), 20)
    assert task.cancelled()
    assert len(lost) == 1


async def test_how_a_task_ends_is_its_own_affair() -> None:
    async def fail() -> None:
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.wait((task,))
    await tasks.end(task)
    assert isinstance(task.exception(), ValueError)
