"""Two gateways over one database, and a service that hears of revocations from whichever lives."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY
from mesh.ids import SystemIds
from mesh.rpc import revoked_keys as service
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.app.revoked_key_feed import RevokedKeyFeed
from svc_gateway.domain.keys import ApiKey
from svc_gateway.rpc.key_watches import watch_revocations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from soma.gateway.v1.identity_service_pb2 import WatchRevocationsResponse
    from soma_local.testing import engines

MIGRATIONS = Path(__file__).parent.parent.parent.parent / "svc_gateway" / "migrations"
CLOCK, IDS = SystemClock(), SystemIds()


class UnnotifiedKeys(PostgresKeyStore):
    """A store whose notifications are lost, as those of a connection that was cut."""

    @asynccontextmanager
    async def listen(self, changed: Callable[[], None]) -> AsyncIterator[None]:
        yield


class Gateway:
    """One gateway's set and its stream, which ends when the gateway dies."""

    def __init__(self, store: PostgresKeyStore) -> None:
        self.revoked = RevokedKeyFeed(store, CLOCK)
        self._dead = False

    async def stream(self, bucket_digests: Sequence[int]) -> AsyncIterator[WatchRevocationsResponse]:
        async for message in watch_revocations(self.revoked, bucket_digests):
            yield message
            if self._dead:
                break
        raise SomaError(Reason.UNAVAILABLE, "the gateway is gone")

    async def die(self) -> None:
        """End the stream at the next message."""
        self._dead = True


@pytest.fixture
async def store(databases: engines.Databases) -> AsyncIterator[UnnotifiedKeys]:
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        yield UnnotifiedKeys(postgres, auditor("gateway"))


async def revoke(store: PostgresKeyStore) -> str:
    now = CLOCK.now()
    key = ApiKey(IDS.new(), "acme", "ci", "robot", ("member",), now, now + timedelta(days=1), "alice")
    await store.add(key, NO_KEY)
    await store.revoke("acme", key.key_id, now)
    return key.key_id


async def test_service_keeps_what_a_gateway_told_that_died_before_the_other_read_it(store: UnnotifiedKeys) -> None:
    first, second = Gateway(store), Gateway(store)
    await second.revoked.refresh()
    key_id = await revoke(store)
    await first.revoked.refresh()
    await first.die()
    heard = [first, second, second]
    told = service.RevokedKeys(CLOCK)
    second_heard = asyncio.Event()

    async def stream(bucket_digests: Sequence[int]) -> AsyncIterator[WatchRevocationsResponse]:
        gateway = heard.pop(0) if len(heard) > 1 else heard[0]
        async for message in gateway.stream(bucket_digests):
            yield message
            if gateway is second:
                second_heard.set()

    following = asyncio.create_task(told.follow(stream))
    async with asyncio.timeout(20):
        await second_heard.wait()
    assert not second.revoked.is_revoked(key_id)
    assert told(key_id)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_revocation_is_read_although_its_notification_was_lost(store: UnnotifiedKeys) -> None:
    gateway = RevokedKeyFeed(store, CLOCK)
    async with gateway.running():
        key_id = await revoke(store)

        async def is_read() -> bool:
            return gateway.is_revoked(key_id)

        await eventually(is_read)
