"""A service whose stream of revocations was cut sends the digests of what it has, and is sent the rest."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import tasks
from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY
from mesh.identity.signed_statements import RevocationsFile
from mesh.ids import SystemIds
from mesh.lifecycle import background
from mesh.rpc.revoked_keys import PAUSE_S
from mesh.rpc.revoked_keys import RevokedKeys as ServiceKeys
from mesh.testing import FakeClock, Issuer
from mesh.testing.contract import eventually
from mesh.testing.tokens import ISSUER
from svc_gateway.app.key_set_signer import KeySetSigner
from svc_gateway.app.revoked_key_feed import ANNOUNCE_S, RevokedKeyFeed, expires_at_by_key_id
from svc_gateway.domain.keys import ApiKey
from svc_gateway.rpc.key_watches import watch_revocations
from tests.in_memory.gateway import InMemoryKeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from soma.gateway.v1 import identity_service_pb2 as pb

IDS = SystemIds()
DAY = timedelta(days=1)


class Cut:
    """The way between services and gateways: notes what was taken in, and ends all streams when told to."""

    def __init__(self) -> None:
        self.streams: list[list[pb.WatchRevocationsResponse]] = []
        self.digests: list[Sequence[int]] = []
        self._cut = asyncio.Event()

    @property
    def sent(self) -> list[str]:
        """Key ids that were sent on the last stream."""
        return [item.key_id for message in self.streams[-1] for item in message.revocations]

    def cut(self) -> None:
        """End the streams that are open."""
        self._cut.set()
        self._cut = asyncio.Event()

    async def watch(
        self, revoked: RevokedKeyFeed, digests: Sequence[int]
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        """The stream of a gateway."""
        messages: list[pb.WatchRevocationsResponse] = []
        self.streams.append(messages)
        self.digests.append(digests)
        cut, stream = asyncio.create_task(self._cut.wait()), watch_revocations(revoked, digests)
        try:
            while True:
                following = asyncio.ensure_future(anext(stream))
                await asyncio.wait((cut, following), return_when=asyncio.FIRST_COMPLETED)
                if cut.done():
                    await tasks.end(following)
                    raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "cut")
                yield following.result()
                # The service asks for more once it has taken this one in.
                messages.append(following.result())
        finally:
            await tasks.end(cut)


class Mesh:
    """A gateway, and a service that follows it and keeps a file."""

    def __init__(self, issuer: Issuer, clock: FakeClock, path: Path) -> None:
        self.clock = clock
        self.store = InMemoryKeyStore()
        self.issuer = issuer
        self.revoked = RevokedKeyFeed(self.store, clock)
        self.cut = Cut()
        self.file = RevocationsFile(path, issuer.keys, ISSUER)
        self.service = ServiceKeys(clock, self.file)

    async def revoke(self, life: timedelta = DAY) -> str:
        """Make a key, revoke it, and have the gateway read that."""
        now = self.clock.now()
        key = ApiKey(IDS.new(), "acme", "ci", "robot", ("member",), now, now + life, "alice")
        await self.store.add(key, NO_KEY)
        await self.store.revoke("acme", key.key_id, now)
        await self.revoked.refresh()
        return key.key_id

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """The gateway signs, and the service follows it, while entered; first until the service is up to date."""
        statements = KeySetSigner(self.issuer.minter, self.clock)
        signing = background(lambda: statements.sign_revoked(self.revoked), "signing", clock=self.clock)
        writing = background(self.service.persist_file, "file", clock=self.clock)
        reading = background(
            lambda: self.service.follow(lambda known: self.cut.watch(self.revoked, known)),
            "following",
            clock=self.clock,
        )
        async with signing, writing, reading:
            await self.up_to_date()
            yield

    async def up_to_date(self, streams: int = 1) -> None:
        """Let time pass until the service has a statement on what the gateway has, on the stream of this number."""

        async def is_up_to_date() -> bool:
            await self.clock.advance(PAUSE_S)
            return len(self.cut.streams) == streams and any(message.statement for message in self.cut.streams[-1][-1:])

        await eventually(is_up_to_date)

    async def reconnect(self) -> None:
        """Cut the stream, and let the service open it again."""
        number = len(self.cut.streams)
        self.cut.cut()
        await self.up_to_date(number + 1)

    async def kept(self) -> bool:
        """Whether the file has what the gateway has, and says so by its statement."""
        found = await asyncio.to_thread(self.file.read)
        return found is not None and {**found[1].revoked} == expires_at_by_key_id(
            await self.store.list_revocations(self.clock.now())
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def mesh(clock: FakeClock, tmp_path: Path) -> Mesh:
    made = Mesh(await Issuer.create(clock), clock, tmp_path / "critic.json")
    await made.revoked.refresh()
    return made


async def test_only_what_was_revoked_meanwhile_is_sent(mesh: Mesh) -> None:
    for _ in range(50):
        await mesh.revoke()
    async with mesh.following():
        first, snapshot = mesh.cut.sent, mesh.cut.streams[0][0].snapshot
        await mesh.reconnect()
        assert (snapshot, len(first), mesh.cut.sent) == (True, 50, [])
        assert mesh.cut.streams[-1]
        assert not any(message.snapshot or message.replaced_buckets for message in mesh.cut.streams[-1])


async def test_a_revocation_during_the_cut_is_sent_and_kept(mesh: Mesh) -> None:
    for _ in range(50):
        await mesh.revoke()
    async with mesh.following():
        mesh.cut.cut()
        missed = await mesh.revoke()
        await mesh.up_to_date(2)
        assert missed in mesh.cut.sent
        assert len(mesh.cut.sent) < 10
        assert len(mesh.cut.streams[-1][0].replaced_buckets) == 1
        assert mesh.service(missed)
    assert await mesh.kept()


async def test_a_service_that_starts_again_says_what_it_has_on_disk(mesh: Mesh, clock: FakeClock) -> None:
    for _ in range(20):
        await mesh.revoke()
    async with mesh.following():
        pass
    mesh.service, mesh.cut = ServiceKeys(clock, mesh.file), Cut()
    await mesh.service.restore()
    missed = await mesh.revoke()
    async with mesh.following():
        assert missed in mesh.cut.sent
        assert len(mesh.cut.sent) < 10
    assert await mesh.kept()


async def test_what_only_another_gateway_knows_stays_revoked_and_outside_the_statement(mesh: Mesh) -> None:
    known = await mesh.revoke()
    async with mesh.following():
        behind = RevokedKeyFeed(InMemoryKeyStore(), mesh.clock)
        await behind.refresh()
        mesh.revoked, mesh.store = behind, InMemoryKeyStore()
        mesh.cut.cut()
        statements = KeySetSigner(mesh.issuer.minter, mesh.clock)
        async with background(lambda: statements.sign_revoked(behind), "signing", clock=mesh.clock):
            await mesh.up_to_date(2)
            assert len(mesh.cut.streams[-1][0].replaced_buckets) == 1
            assert mesh.service(known)
    found = mesh.file.read()
    assert found is not None
    assert ({*found[1].revoked}, {*found[1].extra}) == (set(), {known})


async def test_keys_that_have_expired_leave_both_sides(mesh: Mesh) -> None:
    short, long = await mesh.revoke(timedelta(minutes=2)), await mesh.revoke()
    async with mesh.following():
        await mesh.clock.advance(121 + ANNOUNCE_S)
        await mesh.revoked.refresh()

        async def has_left() -> bool:
            await mesh.clock.advance(PAUSE_S)
            return not mesh.service(short)

        await eventually(has_left)
        await mesh.reconnect()
        assert mesh.service(long)
        assert (mesh.cut.sent, mesh.cut.streams[-1][0].replaced_buckets) == ([], [])


async def test_a_request_with_too_few_digests_gets_the_whole_set(mesh: Mesh) -> None:
    key_id = await mesh.revoke()
    message = await anext(watch_revocations(mesh.revoked, [0, 0]))
    assert message.snapshot
    assert [item.key_id for item in message.revocations] == [key_id]
