"""How a service keeps the set of revoked keys on disk while many keys are revoked."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import tasks
from mesh.identity.signed_statements import TYPE, RevocationsFile, expires_at_s, statement_of
from mesh.rpc.revoked_keys import PAUSE_FACTOR, STORE_PAUSE_S, RevokedKeys
from mesh.testing import FakeClock, Issuer, SlowWorkClock
from mesh.testing.contract import eventually
from mesh.testing.tokens import ISSUER
from soma.gateway.v1.identity_service_pb2 import WatchRevocationsResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from mesh.identity.signed_statements import StoredRevocations

LIFE = timedelta(days=3)


class ObservedFile(RevocationsFile):
    """A file that notes which sets were written, and in which threads they were judged."""

    def __init__(self, path: Path, issuer: Issuer) -> None:
        super().__init__(path, issuer.keys, ISSUER)
        self.written: list[set[str]] = []
        self.threads: set[int] = set()

    def verified_as_of(self, statement: str, revoked: dict[str, int]) -> int | None:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        return super().verified_as_of(statement, revoked)

    def write(self, stored: StoredRevocations) -> None:
        super().write(stored)
        self.written.append({*stored.revoked})


class ObservedKeys(RevokedKeys):
    """Counts how often its file was written."""

    writes = 0

    async def _store(self) -> None:
        await super()._store()
        self.writes += 1


class Gateway:
    """Revokes keys one by one; a service has taken in each once `revoke` is back."""

    def __init__(self, issuer: Issuer, clock: FakeClock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._messages: asyncio.Queue[WatchRevocationsResponse] = asyncio.Queue()
        self._revoked: dict[str, int] = {}

    async def stream(self, bucket_digests: Sequence[int]) -> AsyncIterator[WatchRevocationsResponse]:
        while True:
            yield await self._messages.get()
            self._messages.task_done()

    async def revoke(self, key_id: str) -> None:
        now = self._clock.now()
        message = WatchRevocationsResponse(snapshot=not self._revoked)
        message.revocations.add(key_id=key_id).expire_time.FromDatetime(now + LIFE)
        message.as_of.FromSeconds(int(now.timestamp()))
        self._revoked[key_id] = expires_at_s(now + LIFE)
        message.statement = await self._issuer.minter.sign(statement_of(self._revoked, int(now.timestamp())), TYPE)
        self._messages.put_nowait(message)
        await self._messages.join()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def issuer(clock: FakeClock) -> Issuer:
    return await Issuer.create(clock)


@pytest.fixture
def file(issuer: Issuer, tmp_path: Path) -> ObservedFile:
    return ObservedFile(tmp_path / "revocations.json", issuer)


@pytest.fixture
def gateway(issuer: Issuer, clock: FakeClock) -> Gateway:
    return Gateway(issuer, clock)


@asynccontextmanager
async def following(revoked: ObservedKeys, gateway: Gateway) -> AsyncIterator[ObservedKeys]:
    """A service that follows a gateway and keeps its file."""
    running = [asyncio.create_task(revoked.persist_file()), asyncio.create_task(revoked.follow(gateway.stream))]
    try:
        yield revoked
    finally:
        for task in reversed(running):
            await tasks.end(task)


async def write(clock: FakeClock, keys: ObservedKeys) -> None:
    """Let the time pass after which changes are written, and wait until they are and it is known how long that took."""
    number = keys.writes
    assert await clock.sleeper() == STORE_PAUSE_S
    await clock.advance(STORE_PAUSE_S)
    await eventually(lambda: keys.writes > number)


async def test_changes_within_a_second_are_written_once_with_the_last_state(
    clock: FakeClock, file: ObservedFile, gateway: Gateway
) -> None:
    async with following(ObservedKeys(clock, file), gateway) as keys:
        await gateway.revoke("first")
        await write(clock, keys)
        await gateway.revoke("second")
        await gateway.revoke("third")
        assert file.written == [{"first"}]
        await write(clock, keys)
    assert file.written == [{"first"}, {"first", "second", "third"}]


async def test_a_set_that_takes_long_to_write_is_written_less_often(issuer: Issuer, file: ObservedFile) -> None:
    clock = SlowWorkClock(2)
    gateway = Gateway(issuer, clock)
    async with following(ObservedKeys(clock, file), gateway) as keys:
        await gateway.revoke("first")
        await write(clock, keys)
        await gateway.revoke("second")
        assert await clock.sleeper() == 2 * PAUSE_FACTOR


async def test_the_last_state_is_written_when_the_service_ends(
    clock: FakeClock, file: ObservedFile, gateway: Gateway
) -> None:
    async with following(ObservedKeys(clock, file), gateway):
        await gateway.revoke("first")
        await gateway.revoke("second")
        assert file.written == []
    found = file.read()
    assert found is not None
    assert {*found[1].revoked} == {"first", "second"}


async def test_the_set_is_hashed_off_the_loop(clock: FakeClock, file: ObservedFile, gateway: Gateway) -> None:
    async with following(ObservedKeys(clock, file), gateway) as keys:
        await gateway.revoke("first")
        await write(clock, keys)
    assert threading.get_ident() not in file.threads


async def test_listeners_hear_of_each_key_once(clock: FakeClock, gateway: Gateway) -> None:
    revoked, heard = ObservedKeys(clock), list[str]()
    revoked.on_revoked(heard.extend)
    async with following(revoked, gateway):
        for key_id in ("first", "second", "first"):
            await gateway.revoke(key_id)
    assert heard == ["first", "second"]


async def test_keys_that_have_expired_leave_the_file(clock: FakeClock, file: ObservedFile, gateway: Gateway) -> None:
    async with following(ObservedKeys(clock, file), gateway) as keys:
        await gateway.revoke("first")
        await write(clock, keys)
        await clock.advance(LIFE.total_seconds() + 1)
        await gateway.revoke("second")
        await write(clock, keys)
    assert file.written == [{"first"}, {"second"}]


async def test_keys_that_a_gateway_behind_in_time_still_states_stay_in_the_file(
    clock: FakeClock, file: ObservedFile, issuer: Issuer
) -> None:
    behind = Gateway(issuer, FakeClock())
    async with following(ObservedKeys(clock, file), behind) as keys:
        await behind.revoke("first")
        await write(clock, keys)
        await clock.advance(LIFE.total_seconds() + 1)
        await behind.revoke("second")
        await write(clock, keys)
    assert file.written == [{"first"}, {"first", "second"}]
