"""The stream of WatchCapabilities: bounded messages, resumption, heartbeats."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.rpc.heartbeats import Heartbeats
from mesh.rpc.sizes import MESSAGE_BYTES
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.app import Registry
from svc_registry.domain import Capability, Kind, Ladder, LadderKey, Modality
from svc_registry.rpc import CapabilityServicer
from svc_registry.rpc.watch_stream import WatchStream
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from mesh.testing import FakeClock
    from svc_registry.app import Catalog
    from tests.in_memory.registry import MemoryStore

Listing: TypeAlias = pb.ListCapabilitiesRequest | pb.ListLaddersRequest
P = TypeVar("P", pb.ListCapabilitiesResponse, pb.ListLaddersResponse)
MEBIBYTE = 1024 * 1024
D2 = Capability("d2", "local", Kind.TOOL, (Modality.DIAGRAM,), ("image_diagram",), version=1)
LARGE = replace(D2, tool_id="large", input_schema={"description": "x" * (5 * MEBIBYTE // 2)})
KEY = LadderKey(Modality.DIAGRAM, "image_diagram")
BEAT_S = 0.01


def offers(count: int, kilobytes: int) -> list[Capability]:
    """So many capabilities of so many kB each."""
    return [replace(D2, tool_id=f"t{number:04}", description="x" * 1000 * kilobytes) for number in range(count)]


async def until_token(watch: AsyncIterator[pb.WatchCapabilitiesResponse]) -> list[pb.WatchCapabilitiesResponse]:
    """Messages up to the first that can be resumed after."""
    found: list[pb.WatchCapabilitiesResponse] = []
    async for message in watch:
        found.append(message)
        if message.resume_token:
            break
    return found


def watching(catalog: Catalog, beat_s: float = 60.0) -> WatchStream:
    return WatchStream(catalog, Heartbeats(beat_s))


async def test_a_snapshot_is_cut_by_bytes(catalog: Catalog) -> None:
    await catalog._publish(offers(300, 10), [Ladder(KEY, ("a@b",) * 40_000, f"tenant{n}", 1) for n in range(20)])
    messages = await until_token(watching(catalog).messages(""))
    assert all(message.ByteSize() <= MESSAGE_BYTES + 100_000 for message in messages)
    assert [message.complete for message in messages] == [False] * (len(messages) - 1) + [True]
    assert all(message.snapshot for message in messages)
    assert sum(len(message.capabilities) for message in messages) == 300
    assert sum(len(message.ladders) for message in messages) == 20
    assert len([message for message in messages if message.ladders]) > 1


async def test_few_ladders_come_in_the_last_message_alone(catalog: Catalog) -> None:
    await catalog._publish(offers(3, 600), [Ladder(KEY, ("a@b",), "", 1)])
    *rest, last = await until_token(watching(catalog).messages(""))
    assert (len(last.ladders), len(last.capabilities)) == (1, 0)
    assert [len(message.capabilities) for message in rest] == [1, 1, 1]


async def test_something_large_goes_alone_and_does_not_end_the_stream(catalog: Catalog) -> None:
    await catalog._publish([D2, LARGE, replace(LARGE, tool_id="larger"), replace(D2, tool_id="last")], ())
    messages = await until_token(watching(catalog).messages(""))
    assert [[item.tool_id for item in message.capabilities] for message in messages] == [
        ["d2"], ["large"], ["larger"], ["last"]
    ]  # fmt: skip
    assert max(message.ByteSize() for message in messages) < 4 * MEBIBYTE


async def test_something_that_no_message_can_hold_is_left_out(catalog: Catalog) -> None:
    huge = replace(LARGE, tool_id="huge", output_schema=LARGE.input_schema)
    await catalog._publish([D2, huge], ())
    messages = await until_token(watching(catalog).messages(""))
    assert [item.tool_id for message in messages for item in message.capabilities] == ["d2"]


async def test_an_empty_catalogue_is_one_whole_message(catalog: Catalog) -> None:
    [message] = await until_token(watching(catalog).messages(""))
    assert (message.snapshot, message.complete, message.heartbeat) == (True, True, False)


async def test_changes_are_cut_by_bytes_and_each_message_can_be_resumed_after(catalog: Catalog) -> None:
    await catalog._publish([D2], ())
    [first] = await until_token(watching(catalog).messages(""))
    async with aclosing(watching(catalog).messages(first.resume_token)) as watch:
        assert (await anext(watch)).heartbeat
        await catalog._publish(offers(250, 10), [Ladder(KEY, ("a@b",), "", 1)])
        messages = [await anext(watch) for _ in range(3)]
    assert all(message.ByteSize() <= MESSAGE_BYTES + 100 for message in messages)
    assert all(message.complete and message.resume_token and not message.snapshot for message in messages)
    async with aclosing(watching(catalog).messages(messages[1].resume_token)) as watch:
        await anext(watch)
        again = await anext(watch)
    assert again == messages[2]
    assert len(again.ladders) == 1


async def test_a_resume_without_changes_says_at_once_that_the_view_is_current(catalog: Catalog) -> None:
    await catalog._publish([D2], ())
    [first] = await until_token(watching(catalog).messages(""))
    [beat] = await until_token(watching(catalog).messages(first.resume_token))
    assert (beat.heartbeat, beat.complete, beat.snapshot) == (True, True, False)
    assert beat.resume_token == first.resume_token
    assert (len(beat.capabilities), len(beat.ladders)) == (0, 0)


async def test_without_changes_there_are_heartbeats(catalog: Catalog) -> None:
    async with aclosing(watching(catalog, BEAT_S).messages("")) as watch:
        await anext(watch)
        assert [(await anext(watch)).heartbeat for _ in range(3)] == [True] * 3
        await catalog._publish([D2], ())
        message = await anext(watch)
        while message.heartbeat:
            message = await anext(watch)
    assert message.capabilities[0].tool_id == "d2"


async def test_pages_of_lists_are_cut_by_bytes_and_cover_everything(
    catalog: Catalog, store: MemoryStore, clock: FakeClock
) -> None:
    long = tuple(f"{'x' * 100}{n}@b" for n in range(100))
    ladders = [Ladder(LadderKey(Modality.DIAGRAM, f"t{n:03}"), long, "", 1) for n in range(200)]
    await catalog._publish(offers(250, 10), ladders)
    servicer = CapabilityServicer(Registry(store, catalog, clock), catalog, unasked)
    with use(RequestContext(Caller("acme", "alice", ("member",), (), "k", "t"), "r", "t", None)):
        listed = await pages(servicer.ListCapabilities, pb.ListCapabilitiesRequest(page_size=500))
        ordered = await pages(servicer.ListLadders, pb.ListLaddersRequest(page_size=500))
    assert [len(page.capabilities) for page in listed] == [104, 104, 42]
    assert len({item.tool_id for page in listed for item in page.capabilities}) == 250
    assert len({item.task_type for page in ordered for item in page.ladders}) == 200
    assert all(page.ByteSize() <= MESSAGE_BYTES + 10_000 for page in (*listed, *ordered))


async def pages(method: Callable[..., Awaitable[P]], request: Listing) -> list[P]:
    """All pages of a list."""
    found: list[P] = []
    while not found or request.page_token:
        found.append(await method(request, None))
        request.page_token = found[-1].next_page_token
    return found


@pytest.mark.parametrize("token", ["", "other:1", "e:99", "e:x", "e", ":1", "e:-1"])
async def test_a_token_of_another_time_begins_with_a_snapshot(catalog: Catalog, token: str) -> None:
    await catalog._publish([D2], ())
    [message] = await until_token(watching(catalog).messages(token))
    assert message.snapshot


async def test_a_watcher_behind_the_history_gets_a_snapshot(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svc_registry.app.history.MIN_CHANGES", 10)
    async with aclosing(watching(catalog).messages("")) as watch:
        await anext(watch)
        for version in range(40):
            await catalog._publish([replace(D2, version=version + 1)], ())
        message = await anext(watch)
    assert (message.snapshot, message.complete, message.capabilities[0].version) == (True, True, 40)
