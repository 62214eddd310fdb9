"""What a context tells of the things that it depends on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2

from mesh.dependencies import Dependencies, Dependency, health_name
from mesh.errors import Reason, SomaError
from mesh.health import OVERALL, REASON_KEY, Health
from mesh.lifecycle import background
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVERY_S = 5.0
DOUBT_S = 1.0
DISK = "dependency.disk"


class Context:
    """Takes the trailers of a call."""

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self.trailers = dict(metadata)


class Disk:
    """Answers as told; `asked` counts."""

    def __init__(self) -> None:
        self.answer: str | Exception | None = ""
        self.asked = 0

    async def ask(self) -> str | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Told:
    """Reads a server's health."""

    def __init__(self, health: Health, clock: FakeClock) -> None:
        self.health = health
        self.clock = clock

    async def of(self, name: str = DISK) -> str:
        """The state and why."""
        context = Context()
        try:
            answer = await self.health.Check(health_pb2.HealthCheckRequest(service=name), context)  # type: ignore[arg-type]
        except SomaError as error:
            return error.reason
        state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return " ".join([state, *context.trailers.values()])


@asynccontextmanager
async def judged(disk: Disk) -> AsyncIterator[Told]:
    """A context that depends on the disk and that has asked it once."""
    clock, health = FakeClock(), Health()
    await health.set(OVERALL, True)
    judges = Dependencies(health, [Dependency("disk", disk.ask, EVERY_S)], clock)
    async with background(judges.run, "dependencies", clock=clock):
        await clock.sleeper()
        yield Told(health, clock)


def test_dependencies_have_names_that_no_service_has() -> None:
    assert health_name("disk") == DISK


async def test_what_is_well_is_told_at_once() -> None:
    async with judged(Disk()) as told:
        assert await told.of() == "SERVING"


async def test_what_was_never_judged_is_not_known() -> None:
    disk = Disk()
    disk.answer = None
    async with judged(disk) as told:
        assert await told.of() == Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("cannot be written", "cannot be written"),
        (SomaError(Reason.DEPENDENCY_UNAVAILABLE, "The disk is away"), "The disk is away"),
        (OSError("device 8:0"), "cannot be reached"),
    ],
)
async def test_what_is_lost_is_told_with_its_reason(answer: str | Exception, reason: str) -> None:
    disk = Disk()
    async with judged(disk) as told:
        disk.answer = answer
        await told.clock.advance(EVERY_S + 2 * DOUBT_S)
        assert await told.of() == f"NOT_SERVING {reason}"


async def test_what_hangs_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> str:
        raise TimeoutError

    disk = Disk()
    monkeypatch.setattr(disk, "ask", hang)
    async with judged(disk) as told:
        await told.clock.advance(2 * DOUBT_S)
        assert await told.of() == "NOT_SERVING does not answer within 3 s"


async def test_one_bad_answer_changes_nothing() -> None:
    disk = Disk()
    async with judged(disk) as told:
        disk.answer = "cannot be written"
        await told.clock.advance(EVERY_S)
        assert await told.of() == "SERVING"


async def test_it_is_asked_faster_while_the_answers_speak_against_what_is_told() -> None:
    disk = Disk()
    async with judged(disk) as told:
        await told.clock.advance(EVERY_S)
        assert disk.asked == 2
        disk.answer = "cannot be written"
        await told.clock.advance(EVERY_S + 2 * DOUBT_S)
        assert disk.asked == 5
        await told.clock.advance(EVERY_S)
        assert disk.asked == 6


async def test_it_is_lost_until_it_was_well_for_a_while() -> None:
    disk = Disk()
    async with judged(disk) as told:
        disk.answer = "cannot be written"
        await told.clock.advance(EVERY_S + 2 * DOUBT_S)
        disk.answer = ""
        await told.clock.advance(EVERY_S)
        assert await told.of() == "NOT_SERVING is recovering"
        await told.clock.advance(EVERY_S)
        assert await told.of() == "SERVING"


async def test_a_lost_dependency_leaves_the_process_alive_and_serving() -> None:
    disk = Disk()
    async with judged(disk) as told:
        disk.answer = "cannot be written"
        await told.clock.advance(10 * EVERY_S)
        assert (await told.of(), await told.of(OVERALL)) == ("NOT_SERVING cannot be written", "SERVING")


async def test_reasons_travel_as_ascii() -> None:
    health = Health()
    await health.set(DISK, False, "the disk “a” is full")
    context = Context()
    await health.Check(health_pb2.HealthCheckRequest(service=DISK), context)  # type: ignore[arg-type]
    assert context.trailers == {REASON_KEY: "the disk ?a? is full"}
