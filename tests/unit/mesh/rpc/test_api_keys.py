"""What a service knows of the keys that exist: from gateways, across restarts, and of keys made a moment ago."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenVerifier, api_key
from mesh.identity.key_ids import KeyIds, id_of
from mesh.identity.signed_statements import KEYS_TYPE, KeyIdsFile, statement_of_keys
from mesh.rpc import api_keys
from mesh.rpc.api_keys import CLOCK_TOLERANCE_S, READINGS_TO_CONFIRM, ExistingKeys
from mesh.testing import FakeClock, Issuer
from mesh.testing.tokens import AUDIENCE, ISSUER
from soma.gateway.v1.identity_service_pb2 import WatchApiKeysResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from mesh.context import Caller

KEY, OTHER, MADE_UP = "key-1", "key-2", "key-9"
LIFE = timedelta(days=3)


class Gateway:
    """Tells which keys of the tenant acme exist, as a gateway would."""

    def __init__(self, issuer: Issuer, clock: FakeClock) -> None:
        self._issuer = issuer
        self._clock = clock

    async def reading(
        self, *key_ids: str, known: Sequence[int] = (), signed: bool = True, complete: bool = True
    ) -> WatchApiKeysResponse:
        ids = KeyIds().with_ids(id_of("acme", key_id) for key_id in key_ids)
        message = WatchApiKeysResponse()
        for index in ids.differing(known):
            message.buckets.add(index=index, ids=ids.buckets[index])
        if complete:
            message.as_of.FromDatetime(self._clock.now())
        if signed:
            content = statement_of_keys(ids, int(self._clock.now().timestamp()))
            message.statement = await self._issuer.minter.sign(content, KEYS_TYPE)
        return message


class StopFollowing(Exception):  # noqa: N818 - the end of a test's stream is no error
    """Ends a stream that would be opened again for ever."""


class Service:
    """A service that hears of keys, and what it keeps on disk."""

    def __init__(self, issuer: Issuer, clock: FakeClock, path: Path) -> None:
        self._parts = issuer, clock, path
        self.absent: list[Caller] = []
        self.asked_with: list[int] = []
        self.existing = ExistingKeys(clock, KeyIdsFile(path, issuer.keys, ISSUER))
        self.verifier = TokenVerifier(
            issuer.keys,
            ISSUER,
            AUDIENCE,
            clock,
            lambda _: False,
            existing=self.existing,
            is_current=self.existing.is_current,
            on_absent=self.absent.append,
        )

    async def hear(self, *messages: WatchApiKeysResponse) -> None:
        """Take in the messages of one stream, which then ends."""

        async def stream(known: Sequence[int]) -> AsyncIterator[WatchApiKeysResponse]:
            self.asked_with = [*known]
            for message in messages:
                yield message
            raise StopFollowing

        with pytest.raises(StopFollowing):
            await self.existing.follow(stream)

    def on_disk(self) -> bytes:
        """What the service keeps."""
        return self._parts[2].read_bytes()

    def put_on_disk(self, content: bytes) -> None:
        """Replace what the service keeps."""
        self._parts[2].write_bytes(content)

    async def restarted(self) -> Service:
        """The service after its process was replaced, with no gateway to be heard."""
        again = Service(*self._parts)
        await again.existing.restore()
        return again

    def refusal(self, token: str) -> Reason | None:
        """Why a token is refused at once, if it is."""
        try:
            self.verifier.verify(token)
        except SomaError as error:
            return error.reason
        return None

    async def refusal_of_call(self, token: str) -> Reason | None:
        """Why a call with a token is refused, if it is."""
        try:
            await self.verifier.authenticate(token)
        except SomaError as error:
            return error.reason
        return None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def issuer(clock: FakeClock) -> Issuer:
    return await Issuer.create(clock)


@pytest.fixture
def gateway(issuer: Issuer, clock: FakeClock) -> Gateway:
    return Gateway(issuer, clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revocations" / "registry.keys"


@pytest.fixture
def service(issuer: Issuer, clock: FakeClock, path: Path) -> Service:
    return Service(issuer, clock, path)


async def key_of(issuer: Issuer, key_id: str = KEY, tenant: str = "acme") -> str:
    claims = Claims(tenant, "alice", ("member",), key_id=key_id, kind="key")
    return api_key("test", await issuer.token(claims, LIFE.total_seconds()))


async def token_of(issuer: Issuer, key_id: str = KEY, ttl_s: float = 900) -> str:
    return await issuer.token(Claims("acme", "alice", ("member",), key_id=key_id), ttl_s)


async def test_existing_key_and_its_tokens_pass(service: Service, gateway: Gateway, issuer: Issuer) -> None:
    await service.hear(await gateway.reading(KEY))
    assert service.refusal(await key_of(issuer)) is None
    assert service.refusal(await token_of(issuer)) is None
    assert not service.absent


async def test_true_signature_over_a_key_that_does_not_exist_is_refused_with_an_alarm(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    forged = [await key_of(issuer, MADE_UP), await token_of(issuer, MADE_UP)]
    await clock.advance(CLOCK_TOLERANCE_S + 1)
    await service.hear(await gateway.reading(KEY))
    assert [service.refusal(token) for token in forged] == [Reason.UNAUTHENTICATED] * 2
    assert [(caller.tenant_id, caller.key_id) for caller in service.absent] == [("acme", MADE_UP)] * 2


async def test_key_of_one_tenant_is_none_of_another(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    forged = await key_of(issuer, KEY, "umbrella")
    await clock.advance(CLOCK_TOLERANCE_S + 1)
    await service.hear(await gateway.reading(KEY))
    assert service.refusal(forged) is Reason.UNAUTHENTICATED


async def test_own_token_of_a_service_needs_no_key(service: Service, gateway: Gateway, issuer: Issuer) -> None:
    await service.hear(await gateway.reading(KEY))
    assert service.refusal(await issuer.token(Claims("*", "spiffe://soma/selector", ("service",)), 300)) is None


async def test_call_with_a_new_key_waits_until_the_gateway_tells_of_it(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    await service.hear(await gateway.reading(KEY))
    call = asyncio.create_task(service.refusal_of_call(await key_of(issuer, OTHER)))
    await asyncio.sleep(0)
    await service.hear(await gateway.reading(KEY, OTHER))
    assert await call is None
    assert not service.absent


async def test_call_with_a_made_up_key_is_refused_after_some_readings_and_then_at_once(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    await service.hear(await gateway.reading(KEY))
    forged = await key_of(issuer, MADE_UP)
    call = asyncio.create_task(service.refusal_of_call(forged))
    await asyncio.sleep(0)
    await service.hear(*[await gateway.reading(KEY) for _ in range(READINGS_TO_CONFIRM - 1)])
    assert not call.done()
    await service.hear(await gateway.reading(KEY))
    assert await call is Reason.UNAUTHENTICATED
    assert service.refusal(forged) is Reason.UNAUTHENTICATED


async def test_parts_of_a_state_are_no_reading(service: Service, gateway: Gateway, issuer: Issuer) -> None:
    await service.hear(await gateway.reading(KEY))
    call = asyncio.create_task(service.refusal_of_call(await key_of(issuer, MADE_UP)))
    await asyncio.sleep(0)
    part = await gateway.reading(KEY, complete=False)
    await service.hear(*[part] * READINGS_TO_CONFIRM, await gateway.reading(KEY, MADE_UP))
    assert await call is None


async def test_unconfirmed_key_is_refused_for_a_while_when_no_gateway_is_heard(
    service: Service, gateway: Gateway, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "CONFIRM_S", 0.01)
    await service.hear(await gateway.reading(KEY))
    assert await service.refusal_of_call(await key_of(issuer, OTHER)) is Reason.DEPENDENCY_UNAVAILABLE
    assert not service.absent


async def test_only_some_calls_wait(
    service: Service, gateway: Gateway, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_WAITING", 1)
    await service.hear(await gateway.reading(KEY))
    first = asyncio.create_task(service.refusal_of_call(await key_of(issuer, OTHER)))
    await asyncio.sleep(0)
    assert await service.refusal_of_call(await key_of(issuer, MADE_UP)) is Reason.DEPENDENCY_UNAVAILABLE
    await service.hear(await gateway.reading(KEY, OTHER))
    assert await first is None


async def test_before_any_gateway_was_heard_only_short_lived_tokens_pass(service: Service, issuer: Issuer) -> None:
    assert await service.refusal_of_call(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE
    assert await service.refusal_of_call(await token_of(issuer, ttl_s=3_600)) is Reason.DEPENDENCY_UNAVAILABLE
    assert await service.refusal_of_call(await token_of(issuer)) is None


async def test_restart_without_a_gateway_goes_by_the_keys_on_disk(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    keys = [await key_of(issuer), await key_of(issuer, MADE_UP)]
    await clock.advance(CLOCK_TOLERANCE_S + 1)
    await service.hear(await gateway.reading(KEY, OTHER))
    again = await service.restarted()
    assert [again.refusal(key) for key in keys] == [None, Reason.UNAUTHENTICATED]


async def test_restart_with_keys_that_were_read_too_long_ago_accepts_tokens_alone(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    await service.hear(await gateway.reading(KEY))
    await clock.advance(901)
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE
    assert again.refusal(await token_of(issuer)) is None


@pytest.mark.parametrize("change", [b"", b"x", b"statement\n", None])
async def test_keys_on_disk_that_were_changed_are_not_believed(
    service: Service, gateway: Gateway, issuer: Issuer, change: bytes | None
) -> None:
    await service.hear(await gateway.reading(KEY))
    service.put_on_disk(service.on_disk() + id_of("acme", MADE_UP) if change is None else change)
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE


async def test_statement_on_other_keys_leaves_the_last_ones_on_disk(service: Service, gateway: Gateway) -> None:
    await service.hear(await gateway.reading(KEY))
    kept = service.on_disk()
    wrong = await gateway.reading(KEY, OTHER)
    wrong.statement = (await gateway.reading(KEY)).statement
    await service.hear(wrong)
    assert service.on_disk() == kept


async def test_service_asks_only_for_what_it_lacks(service: Service, gateway: Gateway) -> None:
    await service.hear(await gateway.reading(KEY))
    again = await service.restarted()
    await again.hear()
    message = await gateway.reading(KEY, OTHER, known=again.asked_with)
    assert [bucket.ids for bucket in message.buckets] == [id_of("acme", OTHER)]


async def test_key_that_the_gateway_no_longer_has_is_gone(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    forgotten = await key_of(issuer, OTHER)
    await clock.advance(CLOCK_TOLERANCE_S + 1)
    await service.hear(await gateway.reading(KEY, OTHER))
    known = KeyIds().with_ids([id_of("acme", KEY), id_of("acme", OTHER)]).bucket_digests
    await service.hear(await gateway.reading(KEY, known=known))
    assert service.refusal(forgotten) is Reason.UNAUTHENTICATED
