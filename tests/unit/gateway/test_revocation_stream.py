"""The messages of WatchRevocations: a revoked key at once, the statement once it is signed."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from mesh import tasks
from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY
from mesh.identity.signed_statements import TYPE, RevocationsFile, StatementReader, statement_of
from mesh.ids import SystemIds
from mesh.lifecycle import background
from mesh.rpc.revoked_keys import STORE_PAUSE_S
from mesh.rpc.revoked_keys import RevokedKeys as ServiceKeys
from mesh.testing import ALICE, FakeClock, Issuer, SlowWorkClock, acting_as
from mesh.testing.contract import eventually
from mesh.testing.tokens import ISSUER
from soma.gateway.v1 import identity_service_pb2 as pb
from svc_gateway.app import key_set_signer as app
from svc_gateway.app.existing_key_feed import ExistingKeyFeed
from svc_gateway.app.key_set_signer import PAUSE_FACTOR, PAUSE_S, RETRY_S, KeySetSigner
from svc_gateway.app.keys import ApiKeyUseCases
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revoked_key_feed import RevokedKeyFeed, expires_at_by_key_id
from svc_gateway.app.tenants import Tenants
from svc_gateway.domain.keys import ApiKey
from svc_gateway.rpc.api_key_service import ApiKeyServicer
from svc_gateway.rpc.key_watches import watch_revocations
from tests.in_memory.gateway import InMemoryKeyStore, InMemoryTenantStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from svc_gateway.app.ports import StatementSigner
    from svc_gateway.rpc.api_key_service import Context

IDS = SystemIds()
LIFE = timedelta(days=1)


class GatedSigner:
    """Counts what it is to sign, and signs while its gate is open; fails while it is away."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.away = False

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        self.asked += 1
        if self.away:
            raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "away")
        await self.gate.wait()
        return f"signature {self.asked}"

    async def mint(self, claims: object, ttl_s: float) -> str:
        return "jws"


class Gateway:
    """A gateway over a store in memory."""

    def __init__(self, clock: FakeClock, signer: StatementSigner) -> None:
        self.store = InMemoryKeyStore()
        self.revoked = RevokedKeyFeed(self.store, clock)
        self._clock = clock
        self._statements = KeySetSigner(signer, clock)

    @asynccontextmanager
    async def signing(self) -> AsyncIterator[None]:
        """Sign what is read, while entered."""
        async with background(lambda: self._statements.sign_revoked(self.revoked), "signing", clock=self._clock):
            yield

    async def add_key(self) -> str:
        now = self._clock.now()
        key = ApiKey(IDS.new(), "acme", "ci", "robot", ("member",), now, now + LIFE, "alice")
        await self.store.add(key, NO_KEY)
        return key.key_id

    async def revoke(self) -> str:
        """Make a key, revoke it and read that."""
        key_id = await self.add_key()
        await self.store.revoke("acme", key_id, self._clock.now())
        await self.revoked.refresh()
        return key_id


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def signer() -> GatedSigner:
    return GatedSigner()


@pytest.fixture
async def gateway(clock: FakeClock, signer: GatedSigner) -> Gateway:
    made = Gateway(clock, signer)
    await made.revoked.refresh()
    return made


def stored_in(file: RevocationsFile) -> tuple[int, dict[str, int]] | None:
    found = file.read()
    return found and (found[0], {**found[1].revoked})


def ids_of(message: pb.WatchRevocationsResponse) -> list[str]:
    return [item.key_id for item in message.revocations]


async def test_a_revocation_reaches_all_watchers_while_nothing_is_signed(gateway: Gateway, signer: GatedSigner) -> None:
    heard = [list[str](), list[str]()]

    async def watch(ids: list[str]) -> None:
        async for message in watch_revocations(gateway.revoked):
            ids += ids_of(message)

    async with gateway.signing():
        watching = [asyncio.create_task(watch(ids)) for ids in heard]
        await eventually(lambda: signer.asked == 1)
        key_id = await gateway.revoke()
        await eventually(lambda: heard == [[key_id]] * 2)
        assert signer.asked == 1
        await tasks.end(*watching)


async def test_a_signature_that_takes_long_is_given_up_and_not_tried_again_at_once(
    gateway: Gateway, signer: GatedSigner, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SIGN_TIMEOUT_S", 0.01)
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing():
        messages = [await anext(stream) for _ in range(2)]
        assert [(message.snapshot, message.HasField("as_of")) for message in messages] == [(True, False), (False, True)]
        for seconds, asked in ((0.0, 1), (RETRY_S, 2)):
            await clock.advance(seconds)
            key_id = await gateway.revoke()
            assert ids_of(await anext(stream)) == [key_id]
            assert await clock.sleeper() == PAUSE_S
            await clock.advance(PAUSE_S)
            message = await anext(stream)
            assert (message.HasField("as_of"), message.statement, signer.asked) == (True, "", asked)


async def test_a_signature_that_fails_is_not_tried_again_at_once(
    gateway: Gateway, signer: GatedSigner, clock: FakeClock
) -> None:
    signer.away = True
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing():
        assert [(await anext(stream)).statement for _ in range(2)] == ["", ""]
        await gateway.revoke()
        assert (await anext(stream)).statement == ""
        assert await clock.sleeper() == PAUSE_S
        await clock.advance(PAUSE_S)
        message = await anext(stream)
        assert (message.HasField("as_of"), message.statement) == (True, "")
    assert signer.asked == 1


async def test_the_keys_are_hashed_some_time_after_a_revocation(
    gateway: Gateway, signer: GatedSigner, clock: FakeClock
) -> None:
    signer.gate.set()
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing():
        assert [(await anext(stream)).statement for _ in range(2)] == ["", "signature 1"]
        for number in (2, 3):
            await gateway.revoke()
            await gateway.revoke()
            assert await clock.sleeper() == PAUSE_S
            assert signer.asked == number - 1
            await clock.advance(PAUSE_S)
            assert (len(ids_of(await anext(stream))), (await anext(stream)).statement) == (2, f"signature {number}")


async def test_a_statement_on_an_earlier_set_is_not_told(
    gateway: Gateway, signer: GatedSigner, clock: FakeClock
) -> None:
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing():
        await anext(stream)
        await eventually(lambda: signer.asked == 1)
        key_id = await gateway.revoke()
        assert ids_of(await anext(stream)) == [key_id]
        signer.gate.set()
        early = await anext(stream)
        assert (early.HasField("as_of"), early.statement) == (True, "")
        assert await clock.sleeper() == PAUSE_S
        await clock.advance(PAUSE_S)
        late = await anext(stream)
        assert (late.HasField("as_of"), late.statement) == (True, "signature 2")


async def test_the_statement_is_on_all_that_was_sent_and_lets_a_service_keep_it(
    clock: FakeClock, tmp_path: Path
) -> None:
    issuer = await Issuer.create(clock)
    gateway, file = Gateway(clock, issuer.minter), RevocationsFile(tmp_path / "critic.json", issuer.keys, ISSUER)
    service = ServiceKeys(clock, file)
    first = await gateway.revoke()
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing(), background(service.persist_file, "file", clock=clock):
        following = asyncio.create_task(service.follow(lambda known: watch_revocations(gateway.revoked, known)))
        messages = [await anext(stream) for _ in range(2)]
        ends = expires_at_by_key_id(await gateway.store.list_revocations(clock.now()))
        as_of = messages[1].as_of.seconds
        stated = StatementReader(TYPE, issuer.keys, ISSUER).read(messages[1].statement)
        assert stated is not None
        assert stated.model_dump(include={"as_of", "sha256"}) == statement_of(ends, as_of)

        async def is_stored() -> bool:
            await clock.advance(STORE_PAUSE_S)
            return stored_in(file) == (as_of, ends)

        await eventually(is_stored)
        await tasks.end(following)
    assert [*ends] == [first]


async def test_a_set_that_takes_long_to_hash_is_signed_less_often() -> None:
    clock = SlowWorkClock(2)
    issuer = await Issuer.create(clock)
    gateway = Gateway(clock, issuer.minter)
    await gateway.revoked.refresh()
    stream = watch_revocations(gateway.revoked)
    async with gateway.signing():
        assert [bool((await anext(stream)).statement) for _ in range(2)] == [False, True]
        await gateway.revoke()
        assert await clock.sleeper() == 2 * PAUSE_FACTOR


async def test_the_set_is_hashed_off_the_loop(
    gateway: Gateway, signer: GatedSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def hashed(revoked: Mapping[str, int], as_of: int) -> dict[str, object]:
        threads.append(threading.get_ident())
        return statement_of(revoked, as_of)

    monkeypatch.setattr(app, "statement_of", hashed)
    async with gateway.signing():
        await eventually(lambda: signer.asked == 1)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_this_process_refuses_a_key_before_its_revocation_is_answered(gateway: Gateway, clock: FakeClock) -> None:
    tenants, own = InMemoryTenantStore(), ServiceKeys(clock)
    permissions = Permissions(tenants, gateway.store, "test")
    keys = ApiKeyUseCases(gateway.store, permissions, GatedSigner(), "test", clock=clock, ids=IDS)
    statements = KeySetSigner(GatedSigner(), clock)
    existing = ExistingKeyFeed(gateway.store, clock)
    servicer = ApiKeyServicer(keys, gateway.revoked, existing, statements, Tenants(tenants, clock))
    gateway.revoked.on_change(lambda added: own.add(expires_at_by_key_id(added)))
    key_id = await gateway.add_key()
    with acting_as(ALICE):
        await servicer.RevokeApiKey(pb.RevokeApiKeyRequest(key_id=key_id), cast("Context", None))
    assert own(key_id)
