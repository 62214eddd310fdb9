"""Tokens prove who is calling, and nothing else is believed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import KeySet, OctKey

from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenVerifier, api_key, key_set
from mesh.identity.verifying import LEEWAY_S
from mesh.testing import ALICE, FakeClock, Issuer, acting_as
from mesh.testing.tokens import AUDIENCE, ISSUER, KEY

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def issuer(clock: FakeClock) -> Issuer:
    return await Issuer.create(clock)


def refused(issuer: Issuer, token: str, why: str = ".+") -> None:
    with pytest.raises(SomaError, match=why) as caught:
        issuer.verifier.verify(token)
    assert caught.value.reason is Reason.UNAUTHENTICATED
    assert len(token) < 30 or token not in caught.value.message


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(segment: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value


async def forge(
    issuer: Issuer, header: Mapping[str, object] | None = None, payload: Mapping[str, object] | None = None
) -> str:
    """A token signed with the issuer's own key, with changed header or payload; None removes a member."""
    head, body, _ = (await issuer.token()).split(".")
    changed = []
    for segment, changes in ((head, header), (body, payload)):
        members = decode(segment) | dict(changes or {})
        kept = {name: value for name, value in members.items() if value is not None}
        changed.append(encode(json.dumps(kept).encode()))
    signed = ".".join(changed)
    return f"{signed}.{encode(await issuer.transit.sign(KEY, signed.encode()))}"


async def test_a_token_says_who_is_calling(issuer: Issuer) -> None:
    claims = Claims("acme", "alice", ("member",), ("jobs",), "key-1", actor="executor")
    token = await issuer.token(claims)
    caller = issuer.verifier.verify(token)
    assert (caller.tenant_id, caller.subject, caller.roles, caller.scopes) == ("acme", "alice", ("member",), ("jobs",))
    assert (caller.key_id, caller.actor, caller.token) == ("key-1", "executor", token)


async def test_an_api_key_is_a_token_with_a_name(issuer: Issuer) -> None:
    token = await issuer.token(ALICE)
    assert issuer.verifier.verify(api_key("dev", token)) == issuer.verifier.verify(token)
    with pytest.raises(ValueError, match="environment"):
        api_key("Dev_1", token)


async def test_a_token_is_good_until_it_expires_also_when_it_is_known(issuer: Issuer, clock: FakeClock) -> None:
    token = await issuer.token(ttl_s=60)
    await clock.advance(59)
    issuer.verifier.verify(token)
    await clock.advance(1)
    refused(issuer, token, "expired")


async def test_a_revoked_key_id_is_refused_also_when_its_token_is_known(issuer: Issuer) -> None:
    token = await issuer.token()
    issuer.verifier.verify(token)
    issuer.revoked.add(ALICE.key_id)
    refused(issuer, token, "revoked")


async def test_a_token_outlives_a_rotation_but_not_the_end_of_its_key(issuer: Issuer) -> None:
    old = await issuer.token()
    await issuer.transit.rotate(KEY)
    await issuer.keys.refresh()
    issuer.verifier.verify(old)
    keys = dict(await issuer.transit.public_keys(KEY))
    del keys[1]
    left = key_set(keys)
    verifier = TokenVerifier(lambda: left, ISSUER, AUDIENCE, FakeClock(), lambda _: False)
    with pytest.raises(SomaError, match="not one of ours"):
        verifier.verify(old)


async def test_a_known_token_is_refused_once_its_key_is_gone(issuer: Issuer, clock: FakeClock) -> None:
    current = issuer.keys()
    verifier = TokenVerifier(lambda: current, ISSUER, AUDIENCE, clock, lambda _: False)
    token = await issuer.token()
    verifier.verify(token)
    current = KeySet([])
    with pytest.raises(SomaError, match="no longer used"):
        verifier.verify(token)


async def test_a_new_version_of_the_key_signs_once_all_had_time_to_learn_it(issuer: Issuer, clock: FakeClock) -> None:
    first = decode((await issuer.token()).split(".")[0])["kid"]
    await issuer.transit.rotate(KEY)
    kids = []
    for _ in range(4):
        await clock.advance(20)
        await issuer.keys.refresh()
        token = await issuer.token()
        issuer.verifier.verify(token)
        kids.append(decode(token.split(".")[0])["kid"])
    assert kids[:2] == [first, first]
    assert kids[3] != first


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "Ed25519"},
        {"alg": "ES256"},
        {"alg": None},
        {"kid": None},
        {"kid": "unknown"},
        {"kid": 7},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "OKP"}},
        {"crit": ["exp"]},
        {"b64": False},
        {"custom": 1},
    ],
)
async def test_a_header_that_is_not_exactly_ours_is_refused(issuer: Issuer, header: dict[str, object]) -> None:
    refused(issuer, await forge(issuer, header=header))


@pytest.mark.parametrize(
    "payload",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"aud": []},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 1e99},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"jti": None},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": "*"},
        {"roles": "admin"},
        {"kind": "root"},
        {"act": "executor"},
    ],
)
async def test_claims_that_are_missing_or_wrong_are_refused(issuer: Issuer, payload: dict[str, object]) -> None:
    refused(issuer, await forge(issuer, payload=payload))


async def test_one_of_several_audiences_is_enough(issuer: Issuer) -> None:
    issuer.verifier.verify(await forge(issuer, payload={"aud": ["other", AUDIENCE]}))


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_from_the_future_waits_apart_from_clocks_that_differ(
    issuer: Issuer, clock: FakeClock, claim: str
) -> None:
    now = int(clock.now().timestamp())
    issuer.verifier.verify(await forge(issuer, payload={claim: now + LEEWAY_S}))
    refused(issuer, await forge(issuer, payload={claim: now + LEEWAY_S + 1}), "not valid yet")


async def test_only_a_service_works_across_tenants(issuer: Issuer) -> None:
    refused(issuer, await issuer.token(Claims("*", "alice", ("admin",))))
    assert issuer.verifier.verify(await issuer.token(Claims("*", "selector", ("service",)))).tenant_id == "*"


async def test_a_symmetric_key_named_like_ours_is_no_key(issuer: Issuer, clock: FakeClock) -> None:
    token = await issuer.token()
    kid = decode(token.split(".")[0])["kid"]
    keys = KeySet([OctKey.import_key(b"0" * 32, {"kid": str(kid)})])
    verifier = TokenVerifier(lambda: keys, ISSUER, AUDIENCE, clock, lambda _: False)
    with pytest.raises(SomaError, match="not one of ours"):
        verifier.verify(token)


async def test_another_issuers_signature_is_refused(issuer: Issuer, clock: FakeClock) -> None:
    refused(issuer, await (await Issuer.create(clock)).token())


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_token_with_any_character_changed_is_refused(issuer: Issuer, data: st.DataObject) -> None:
    token = await issuer.token()
    place = data.draw(st.integers(0, len(token) - 2))  # the last character carries bits that are not read
    other = data.draw(st.characters(codec="ascii").filter(lambda char: char != token[place]))
    refused(issuer, token[:place] + other + token[place + 1 :])


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_no_token_is_refused(issuer: Issuer, text: str) -> None:
    refused(issuer, text)


async def test_an_overlong_token_is_refused_unread(issuer: Issuer) -> None:
    refused(issuer, await issuer.token() + "A" * 9_000)


async def test_a_service_acts_for_its_caller_with_the_callers_rights_and_key_id(
    issuer: Issuer, clock: FakeClock
) -> None:
    with acting_as(ALICE) as caller:
        token = await issuer.minter.on_behalf(caller, "executor")
        assert await issuer.minter.on_behalf(caller, "executor") == token
        assert await issuer.minter.on_behalf(caller, "selector") != token
    acting = issuer.verifier.verify(token)
    assert (acting.subject, acting.roles, acting.key_id, acting.actor) == ("alice", ("admin",), "key-alice", "executor")
    await clock.advance(299)
    issuer.verifier.verify(token)
    await clock.advance(1)
    refused(issuer, token, "expired")


async def test_a_token_to_act_with_is_renewed_before_it_expires(issuer: Issuer, clock: FakeClock) -> None:
    with acting_as(ALICE) as caller:
        first = await issuer.minter.on_behalf(caller, "executor")
        await clock.advance(241)
        second = await issuer.minter.on_behalf(caller, "executor")
    assert first != second
    issuer.verifier.verify(second)
