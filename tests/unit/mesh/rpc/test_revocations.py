"""What a service knows of revoked keys: from several gateways, across restarts, and without any."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh import tasks
from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenVerifier, api_key
from mesh.identity.signed_statements import TYPE, RevocationsFile, expires_at_s, statement_of
from mesh.rpc.revoked_keys import RevokedKeys
from mesh.testing import FakeClock, Issuer
from mesh.testing.tokens import AUDIENCE, ISSUER
from soma.gateway.v1.identity_service_pb2 import WatchRevocationsResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

KEY, OTHER = "key-1", "key-2"
LIFE = timedelta(days=3)


class Gateway:
    """States a set of revoked keys, as a gateway would."""

    def __init__(self, issuer: Issuer, clock: FakeClock) -> None:
        self._issuer = issuer
        self._clock = clock

    async def snapshot(self, *key_ids: str, signed: bool = True) -> WatchRevocationsResponse:
        now = self._clock.now()
        as_of, ends = int(now.timestamp()), now + LIFE
        message = WatchRevocationsResponse(snapshot=True)
        for key_id in key_ids:
            message.revocations.add(key_id=key_id).expire_time.FromDatetime(ends)
        message.as_of.FromSeconds(as_of)
        if signed:
            content = statement_of(dict.fromkeys(key_ids, expires_at_s(ends)), as_of)
            message.statement = await self._issuer.minter.sign(content, TYPE)
        return message


class Service:
    """A service that hears of revocations, and what it keeps on disk."""

    def __init__(self, issuer: Issuer, clock: FakeClock, path: Path) -> None:
        self._parts = issuer, clock, path
        self.revoked = RevokedKeys(clock, RevocationsFile(path, issuer.keys, ISSUER))
        self.verifier = TokenVerifier(
            issuer.keys, ISSUER, AUDIENCE, clock, self.revoked, is_current=self.revoked.is_current
        )

    async def hear(self, *messages: WatchRevocationsResponse) -> None:
        """Take in the messages of one stream, which then ends, and write what is to be kept."""

        async def stream(bucket_digests: Sequence[int]) -> AsyncIterator[WatchRevocationsResponse]:
            for message in messages:
                yield message
            raise StopFollowing

        keeping = asyncio.create_task(self.revoked.persist_file())
        await asyncio.sleep(0)
        with pytest.raises(StopFollowing):
            await self.revoked.follow(stream)
        await tasks.end(keeping)

    def on_disk(self) -> str | None:
        """What the service keeps."""
        path = self._parts[2]
        return path.read_text() if path.exists() else None

    def put_on_disk(self, text: str) -> None:
        """Replace what the service keeps."""
        self._parts[2].parent.mkdir(exist_ok=True)
        self._parts[2].write_text(text)

    async def restarted(self) -> Service:
        """The service after its process was replaced, with no gateway to be heard."""
        again = Service(*self._parts)
        await again.revoked.restore()
        return again

    def refusal(self, token: str) -> Reason | None:
        """Why a token is refused, if it is."""
        try:
            self.verifier.verify(token)
        except SomaError as error:
            return error.reason
        return None


class StopFollowing(Exception):  # noqa: N818 - the end of a test's stream is no error
    """Ends a stream that would be opened again for ever."""


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
    return tmp_path / "revocations" / "registry.json"


@pytest.fixture
def service(issuer: Issuer, clock: FakeClock, path: Path) -> Service:
    return Service(issuer, clock, path)


async def key_of(issuer: Issuer, key_id: str = KEY) -> str:
    claims = Claims("acme", "alice", ("member",), key_id=key_id, kind="key")
    return api_key("test", await issuer.token(claims, LIFE.total_seconds()))


async def token_of(issuer: Issuer, key_id: str = KEY, ttl_s: float = 900) -> str:
    return await issuer.token(Claims("acme", "alice", ("member",), key_id=key_id), ttl_s)


async def test_older_snapshot_of_another_gateway_takes_nothing_back(service: Service, gateway: Gateway) -> None:
    await service.hear(await gateway.snapshot(KEY))
    await service.hear(await gateway.snapshot())
    assert service.revoked(KEY)


async def test_revocation_is_forgotten_when_its_key_has_expired(
    service: Service, gateway: Gateway, clock: FakeClock
) -> None:
    await service.hear(await gateway.snapshot(KEY))
    await clock.advance(LIFE.total_seconds() + 1)
    await service.hear(await gateway.snapshot())
    assert not service.revoked(KEY)


async def test_before_any_gateway_was_heard_only_short_lived_tokens_pass(service: Service, issuer: Issuer) -> None:
    assert service.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE
    assert service.refusal(await token_of(issuer, ttl_s=3_600)) is Reason.DEPENDENCY_UNAVAILABLE
    assert service.refusal(await token_of(issuer)) is None


async def test_incomplete_snapshot_is_not_enough_to_accept_keys(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    part = await gateway.snapshot(KEY)
    part.ClearField("as_of")
    await service.hear(part)
    assert service.refusal(await key_of(issuer, OTHER)) is Reason.DEPENDENCY_UNAVAILABLE
    assert service.refusal(await token_of(issuer)) is Reason.UNAUTHENTICATED


async def test_key_is_accepted_once_a_gateway_was_heard(service: Service, gateway: Gateway, issuer: Issuer) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    assert service.refusal(await key_of(issuer)) is None
    assert service.refusal(await key_of(issuer, OTHER)) is Reason.UNAUTHENTICATED


async def test_keys_are_refused_again_when_no_gateway_was_heard_for_long(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    await clock.advance(901)
    assert service.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE
    assert service.refusal(await token_of(issuer)) is None
    assert service.refusal(await token_of(issuer, OTHER)) is Reason.UNAUTHENTICATED


async def test_restart_without_a_gateway_knows_what_was_revoked(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is None
    assert again.refusal(await key_of(issuer, OTHER)) is Reason.UNAUTHENTICATED


async def test_restart_knows_what_only_one_of_two_gateways_told(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    await service.hear(await gateway.snapshot(KEY))
    await service.hear(await gateway.snapshot(OTHER))
    again = await service.restarted()
    assert again.revoked(KEY)
    assert again.revoked(OTHER)


async def test_restart_with_a_set_that_is_too_old_refuses_keys(
    service: Service, gateway: Gateway, issuer: Issuer, clock: FakeClock
) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    await clock.advance(901)
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE
    assert again.refusal(await token_of(issuer, OTHER)) is Reason.UNAUTHENTICATED


@pytest.mark.parametrize("field", ["revoked", "statement"])
async def test_set_on_disk_that_was_changed_is_not_believed(
    service: Service, gateway: Gateway, issuer: Issuer, field: str
) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    stored = json.loads(service.on_disk() or "")
    stored[field] = {} if field == "revoked" else await token_of(issuer)
    service.put_on_disk(json.dumps(stored))
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"statement": 1, "revoked": 2, "extra": 3}'])
async def test_damaged_set_on_disk_is_no_set(service: Service, issuer: Issuer, content: str) -> None:
    service.put_on_disk(content)
    again = await service.restarted()
    assert again.refusal(await key_of(issuer)) is Reason.DEPENDENCY_UNAVAILABLE


async def test_change_that_is_not_signed_leaves_no_older_set_on_disk(service: Service, gateway: Gateway) -> None:
    await service.hear(await gateway.snapshot(OTHER))
    assert service.on_disk() is not None
    await service.hear(await gateway.snapshot(KEY, OTHER, signed=False))
    assert service.on_disk() is None
    assert service.revoked(KEY)


async def test_statement_is_no_token(service: Service, gateway: Gateway) -> None:
    message = await gateway.snapshot(OTHER)
    await service.hear(message)
    assert service.refusal(message.statement) is Reason.UNAUTHENTICATED


async def test_a_start_with_a_set_on_disk_waits_until_a_gateway_is_heard(
    service: Service, gateway: Gateway, issuer: Issuer
) -> None:
    await service.hear(await gateway.snapshot())
    again = await service.restarted()
    waiting = asyncio.create_task(again.revoked.wait_current(20))
    await asyncio.sleep(0)
    assert not waiting.done()
    await again.hear(await gateway.snapshot(KEY))
    assert await waiting
    assert again.refusal(await key_of(issuer)) is Reason.UNAUTHENTICATED


async def test_a_start_without_a_gateway_goes_by_the_set_on_disk(service: Service, gateway: Gateway) -> None:
    await service.hear(await gateway.snapshot())
    again = await service.restarted()
    assert await again.revoked.wait_current(0.01)


async def test_a_start_waits_until_the_set_is_heard(service: Service, gateway: Gateway) -> None:
    waiting = asyncio.create_task(service.revoked.wait_current(20))
    await service.hear(await gateway.snapshot())
    assert await waiting
