"""Deliveries in hand: batches of many keys, each key worked on by one at a time."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from mesh.events.backlog import Backlog
from mesh.events.bus import Delivery


def deliveries(keys: str, start: int = 0) -> list[Delivery]:
    return [Delivery("t", 0, str(start + n), key, str(start + n), b"") for n, key in enumerate(keys)]


def positions(taken: list[Delivery]) -> list[str]:
    return [each.position for each in taken]


async def test_a_batch_holds_what_waits_in_order_per_key() -> None:
    backlog = Backlog(100)
    await backlog.put(deliveries("abab"))
    assert positions(await backlog.take(10)) == ["0", "2", "1", "3"]


async def test_a_key_in_work_is_given_to_nobody_else() -> None:
    backlog = Backlog(100)
    await backlog.put(deliveries("aa"))
    assert positions(await backlog.take(1)) == ["0"]
    await backlog.put(deliveries("ab", 2))
    assert positions(await backlog.take(10)) == ["3"]
    await backlog.done(1, [("t", "a")])
    assert positions(await backlog.take(10)) == ["1", "2"]


async def test_what_is_put_back_comes_first_once_its_key_is_free() -> None:
    backlog = Backlog(100)
    await backlog.put(deliveries("aaa"))
    taken = await backlog.take(10)
    await backlog.put(deliveries("a", 3))
    backlog.put_back(taken[1:])
    await backlog.done(1, [("t", "a")])
    assert positions(await backlog.take(10)) == ["1", "2", "3"]


async def test_it_takes_no_more_than_there_is_room_for() -> None:
    backlog = Backlog(2)
    await backlog.put(deliveries("ab"))
    putting = asyncio.create_task(backlog.put(deliveries("c", 2)))
    taken = await backlog.take(10)
    for _ in range(5):
        await asyncio.sleep(0)  # the task has begun and waits, or has put what there is no room for
    assert (positions(taken), putting.done()) == (["0", "1"], False)
    await backlog.done(len(taken), [("t", "a"), ("t", "b")])
    await putting
    assert positions(await backlog.take(10)) == ["2"]


async def test_once_closed_it_gives_nothing() -> None:
    backlog = Backlog(2)
    waiting = asyncio.create_task(backlog.take(1))
    await asyncio.sleep(0)
    await backlog.close()
    assert await waiting == []
    await backlog.put(deliveries("abc"))
    assert await backlog.take(1) == []


@given(st.text("abc", min_size=1, max_size=60), st.integers(1, 7), st.randoms())
async def test_whatever_happens_each_key_keeps_its_order_and_nothing_is_lost(
    keys: str, most: int, dice: object
) -> None:
    backlog = Backlog(1_000)
    await backlog.put(deliveries(keys))
    seen: list[Delivery] = []
    while len(seen) < len(keys):
        taken = await backlog.take(most)
        kept = dice.randint(1, len(taken))  # type: ignore[attr-defined]
        given_keys = {each.key for each in taken}
        done: list[Delivery] = []
        back: list[Delivery] = []
        for number, each in enumerate(taken):
            (done if number < kept and all(each.key != other.key for other in back) else back).append(each)
        seen += done
        backlog.put_back(back)
        await backlog.done(len(done), [("t", key) for key in given_keys])
    for key in set(keys):
        numbers = [int(each.position) for each in seen if each.key == key]
        assert numbers == [number for number, each in enumerate(keys) if each == key]
