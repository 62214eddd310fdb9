"""Which credentials the edge accepts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mesh.clock import SystemClock
from tests.integration.gateway.edge.edge_requests import JOBS, access_log_entry, bearer, reason, wait_until
from tests.integration.gateway.edge.rig import EdgeUnderTest, Signer, encode, segment


async def test_token_and_api_key_are_accepted(edge: EdgeUnderTest) -> None:
    token = edge.signer.token()
    sent = [bearer(token), bearer(f"soma_test_{token}"), {"x-api-key": f"soma_test_{token}"}]
    async with edge.client(authenticated=False) as client:
        assert [(await client.get(JOBS, headers=headers)).status_code for headers in sent] == [200] * 3


def forged(signer: Signer) -> dict[str, dict[str, str]]:
    head, body, signature = signer.token().split(".")
    stranger = Signer(SystemClock())
    unsigned = f"{segment({'alg': 'none', 'typ': 'JWT'})}.{body}."
    return {
        "nothing": {},
        "no token": bearer(""),
        "tampered": bearer(f"{head}.{segment({'iss': 'soma', 'aud': 'soma', 'exp': 9_999_999_999})}.{signature}"),
        "wrong signature": bearer(f"{head}.{body}.{encode(bytes(64))}"),
        "alg none": bearer(unsigned),
        "alg none as key": bearer(f"soma_test_{unsigned}"),
        "HS256": bearer(signer.token(header={"alg": "HS256"})),
        "another's key": bearer(stranger.token()),
        "another's key, our id": bearer(stranger.token(header={"kid": signer.kid})),
        "expired": bearer(signer.token(exp=1_700_000_000)),
        "without expiry": bearer(signer.token(exp=None)),
        "wrong audience": bearer(signer.token(aud="other")),
        "wrong issuer": bearer(signer.token(iss="other")),
        "another environment": bearer(f"soma_live_{signer.token()}"),
        "token as api key": {"x-api-key": signer.token()},
    }


async def test_bad_credentials_are_refused_before_any_service(edge: EdgeUnderTest) -> None:
    calls = edge.upstream.calls
    async with edge.client(authenticated=False) as client:
        for name, headers in forged(edge.signer).items():
            answer = await client.get(JOBS, headers=headers)
            assert (name, answer.status_code, reason(answer)) == (name, 401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert edge.upstream.calls == calls


async def test_request_with_two_credentials_is_that_of_its_bearer_token_alone(edge: EdgeUnderTest) -> None:
    token, key = edge.signer.token(), f"soma_test_{edge.signer.token(tenant='another', jti='key-2')}"
    async with edge.client(authenticated=False) as client:
        answer = await client.get(f"{JOBS}/both", headers={**bearer(token), "x-api-key": key})
    assert answer.status_code == 200
    served = edge.upstream.metadata
    assert (served["authorization"], "x-api-key" in served) == (f"Bearer {token}", False)
    line = await access_log_entry(edge, answer)
    assert (line["tenant"], line["key_id"]) == ("dev", "key-1")


@pytest.mark.parametrize("scheme", ["Basic dXNlcjpwYXNz", "Basic x, Bearer"])
async def test_key_beside_another_scheme_is_the_credential(edge: EdgeUnderTest, scheme: str) -> None:
    key = f"soma_test_{edge.signer.token(tenant='another', jti='key-2')}"
    other = f"{scheme} soma_test_{edge.signer.token()}" if scheme.endswith("Bearer") else scheme
    async with edge.client(authenticated=False) as client:
        answer = await client.get(f"{JOBS}/basic", headers={"authorization": other, "x-api-key": key})
    assert answer.status_code == 200
    served = edge.upstream.metadata
    assert ("authorization" in served, served["x-api-key"]) == (False, key)
    line = await access_log_entry(edge, answer)
    assert (line["tenant"], line["key_id"]) == ("another", "key-2")


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("kind", ["authorization", "x-api-key"])
async def test_several_values_of_one_header_are_refused(edge: EdgeUnderTest, kind: str, http2: bool) -> None:
    calls, prefix = edge.upstream.calls, "Bearer " if kind == "authorization" else "soma_test_"
    several = [(kind, f"{prefix}{edge.signer.token(tenant=tenant)}") for tenant in ("dev", "another")]
    async with edge.client(authenticated=False, http2=http2) as client:
        answer = await client.get(JOBS, headers=several)
    assert (answer.status_code, reason(answer)) == (401, "UNAUTHENTICATED")
    assert edge.upstream.calls == calls


async def test_public_methods_need_no_credential(edge: EdgeUnderTest) -> None:
    async with edge.client(authenticated=False) as client:
        assert (await client.get("/v1/health")).status_code == 200
        assert (await client.get("/v1/health", headers=bearer("wrong"))).status_code == 401


async def test_revoked_key_is_refused(edge: EdgeUnderTest) -> None:
    others = frozenset(f"other-{number}" for number in range(2_000))
    async with edge.client() as client:
        assert (await client.get(JOBS)).status_code == 200
        edge.change(credentials=replace(edge.state.credentials, revoked=others | {"key-1"}))

        async def refused() -> bool:
            return (await client.get(JOBS)).status_code == 401

        await wait_until(refused)
        answer = await client.get(JOBS)
        assert reason(answer) == "UNAUTHENTICATED"
        other = await client.get(JOBS, headers=bearer(edge.signer.token(jti="key-2")))
        assert other.status_code == 200


async def test_new_signing_keys_are_accepted_beside_old_ones(edge: EdgeUnderTest) -> None:
    other = Signer(SystemClock())
    both = {"keys": [*edge.signer.jwks["keys"], *other.jwks["keys"]]}  # type: ignore[misc]
    async with edge.client() as client:
        edge.change(credentials=replace(edge.state.credentials, jwks=json.dumps(both)))

        async def accepted() -> bool:
            return (await client.get(JOBS, headers=bearer(other.token()))).status_code == 200

        await wait_until(accepted)
        assert (await client.get(JOBS)).status_code == 200
