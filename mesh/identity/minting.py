"""Makes tokens, signed by a key that stays in the secret store."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mesh.identity.claims import Claims
from mesh.identity.keys import REFRESH_S, PublicKeys, public_key
from mesh.identity.verifying import ALGORITHM

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.ids import Ids

ON_BEHALF_S = 300
RENEW_BEFORE_S = 60
CACHED_TOKENS = 1_024
ADOPT_AFTER_S = 2 * REFRESH_S


class Signer(PublicKeys, Protocol):
    """The part of the secret store that signs."""

    async def sign(self, key: str, data: bytes, version: int | None = None) -> bytes:
        """The raw Ed25519 signature of the data by one version of the key, the newest by default."""


@dataclass(frozen=True)
class _Version:
    number: int
    kid: str


class TokenMinter:
    """Mints tokens of one issuer and audience with the signing key `key`."""

    def __init__(self, transit: Signer, key: str, *, issuer: str, audience: str, clock: Clock, ids: Ids) -> None:
        self._transit = transit
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._ids = ids
        self._version: _Version | None = None
        self._read_at = 0.0
        self._newer_since: float | None = None
        self._minted: dict[Claims, tuple[str, float]] = {}

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        """A token for these claims, good for `ttl_s` seconds."""
        version = await self._signing_version()
        now = int(self._clock.now().timestamp())
        payload: dict[str, object] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": claims.subject,
            "jti": claims.key_id or self._ids.new(),
            "tenant": claims.tenant_id,
            "roles": claims.roles,
            "scopes": claims.scopes,
            "kind": claims.kind,
            "iat": now,
            "exp": now + int(ttl_s),
        }
        if claims.actor:
            payload["act"] = {"sub": claims.actor}
        return await self._sign(payload, "JWT", version)

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        """A JWS of a type that is not a token's."""
        return await self._sign({"iss": self._issuer, **payload}, typ, await self._signing_version())

    async def _sign(self, payload: dict[str, object], typ: str, version: _Version) -> str:
        header = {"alg": ALGORITHM, "kid": version.kid, "typ": typ}
        signed = f"{_segment(header)}.{_segment(payload)}"
        signature = await self._transit.sign(self._key, signed.encode(), version.number)
        return f"{signed}.{_encode(signature)}"

    async def on_behalf(self, caller: Caller, service: str) -> str:
        """A token with which `service` acts for the caller: same rights, same key id, 5 minutes; cached for 4."""
        claims = Claims(
            tenant_id=caller.tenant_id,
            subject=caller.subject,
            roles=caller.roles,
            scopes=caller.scopes,
            key_id=caller.key_id,
            actor=service,
        )
        return await self._cached(claims)

    async def for_service(self, claims: Claims) -> str:
        """A token for a service's own work; 5 minutes, cached for 4."""
        return await self._cached(replace(claims, kind="token"))

    async def _cached(self, claims: Claims) -> str:
        now = self._clock.monotonic()
        token, good_until = self._minted.get(claims, ("", now))
        if now < good_until:
            return token
        token = await self.mint(claims, ON_BEHALF_S)
        self._minted[claims] = (token, now + ON_BEHALF_S - RENEW_BEFORE_S)
        if len(self._minted) > CACHED_TOKENS:
            del self._minted[next(iter(self._minted))]
        return token

    async def _signing_version(self) -> _Version:
        """The newest version of the key, once those who verify have had the time to learn it."""
        now = self._clock.monotonic()
        if self._version is not None and now - self._read_at < REFRESH_S:
            return self._version
        number, raw = max((await self._transit.public_keys(self._key)).items())
        self._read_at = now
        newest = _Version(number, str(public_key(raw).kid))
        if self._version is None or newest == self._version:
            self._version, self._newer_since = newest, None
        elif self._newer_since is None:
            self._newer_since = now
        elif now - self._newer_since >= ADOPT_AFTER_S:
            self._version, self._newer_since = newest, None
        return self._version


def _segment(value: dict[str, object] | dict[str, str]) -> str:
    return _encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
