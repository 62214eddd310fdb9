"""Verifies tokens: signature once, everything that can change on every call."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import ValidationError

from mesh.clock import EPOCH
from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.identity.claims import SERVICE_ROLE, SYSTEM_TENANT, Payload, bare_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from joserfc.jwk import Key, KeySet
    from joserfc.registry import Header

    from mesh.clock import Clock

    class Headed(Protocol):
        """A signed token whose signature is yet to be checked."""

        def headers(self) -> Header:
            """Its header parameters."""

        def set_kid(self, kid: str) -> None:
            """Name its key."""


ALGORITHM = "EdDSA"
CACHED_TOKENS = 4_096
MAX_TOKEN_CHARS = 8_192
SHORT_LIVED_S = 900
"""The longest life of a token that is accepted while the revoked keys are not known, in seconds."""
LEEWAY_S = 30
"""How far the clocks of signer and verifier may differ."""

_HEADERS = frozenset({"alg", "kid", "typ"})
"""Nothing else is looked at, and a token with anything else (`jku`, `x5u`, `jwk`, `crit`, ...) is refused."""


_TOKEN_TYPES = ("JWT", None)


def _registry() -> jws.JWSRegistry:
    """Accepts EdDSA and nothing else. The name means Ed25519 here; RFC 9864 renamed it, Envoy knows the old name."""
    registry = jws.JWSRegistry(algorithms=[ALGORITHM])
    registry.algorithms = {ALGORITHM: registry.algorithms["Ed25519"]}
    return registry


REGISTRY = _registry()


@dataclass(frozen=True)
class _Verified:
    payload: Payload
    kid: str
    caller: Caller


class TokenVerifier:
    """Tells who a token belongs to. Signatures are cached by digest; at most 4,096, the least used leave first.

    `jwks` gives the keys now, `revoked` says whether a key id is revoked, and `is_current` whether that is known well
    enough to accept API keys: without, only short-lived tokens pass. All three are asked on every call.
    """

    def __init__(
        self,
        jwks: Callable[[], KeySet],
        issuer: str,
        audience: str,
        clock: Clock,
        revoked: Callable[[str], bool],
        *,
        is_current: Callable[[], bool] = lambda: True,
    ) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._revoked = revoked
        self._is_current = is_current
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()

    def verify(self, token: str) -> Caller:
        """The caller of a JWS or of an API key that holds one; SomaError UNAUTHENTICATED when it is not good."""
        if len(token) > MAX_TOKEN_CHARS:
            raise _refused("The token is not one of ours")
        sent = bare_token(token)
        digest = hashlib.sha256(sent.encode("utf-8", "replace")).digest()
        found = self._cache.get(digest)
        if found is None:
            found = self._open(sent)
            self._check(found)
            self._remember(digest, found)
        else:
            self._check(found)
            self._cache.move_to_end(digest)
        return found.caller

    def _open(self, token: str) -> _Verified:
        try:
            signed = jws.deserialize_compact(token, self._key_for, registry=REGISTRY)
            payload = Payload.model_validate_json(signed.payload)
            expires_at = EPOCH + timedelta(seconds=payload.exp)
        except (JoseError, ValidationError, ValueError, TypeError, LookupError, OverflowError):
            raise _refused("The token is not one of ours") from None
        caller = Caller(
            tenant_id=payload.tenant,
            subject=payload.sub,
            roles=payload.roles,
            scopes=payload.scopes,
            key_id=payload.jti,
            token=token,
            actor=payload.act.sub if payload.act else "",
            expires_at=expires_at,
        )
        return _Verified(payload, str(signed.headers()["kid"]), caller)

    def _key_for(self, signed: Headed) -> OKPKey:
        return key_for(self._jwks(), signed, _TOKEN_TYPES)

    def _check(self, found: _Verified) -> None:
        payload = found.payload
        audiences = (payload.aud,) if isinstance(payload.aud, str) else payload.aud
        if payload.iss != self._issuer or self._audience not in audiences:
            raise _refused("The token is meant for another system")
        now = self._clock.now().timestamp()
        if now >= payload.exp:
            raise _refused("The token has expired: get a new one")
        if max(payload.iat, payload.nbf or 0) > now + LEEWAY_S:
            raise _refused("The token is not valid yet")
        if payload.tenant == SYSTEM_TENANT and SERVICE_ROLE not in payload.roles:
            raise _refused("The token is not one of ours")
        if all(key.kid != found.kid for key in self._jwks()):
            raise _refused("The token is signed with a key that is no longer used: get a new one")
        if self._revoked(payload.jti):
            raise _refused("The token has been revoked")
        if not self._is_current() and (payload.kind == "key" or payload.exp - payload.iat > SHORT_LIVED_S):
            raise SomaError(
                Reason.DEPENDENCY_UNAVAILABLE,
                "Whether this key is revoked cannot be told at the moment: use a short-lived token, or retry",
                retry_after_s=1.0,
            )

    def _remember(self, digest: bytes, found: _Verified) -> None:
        self._cache[digest] = found
        if len(self._cache) > CACHED_TOKENS:
            self._cache.popitem(last=False)


def key_for(keys: KeySet, signed: Headed, types: Collection[str | None]) -> OKPKey:
    """The key that a JWS of one of these types names; ValueError for a header that is not as ours are."""
    headers = signed.headers()
    kid = headers.get("kid")
    if set(headers) - _HEADERS or not isinstance(kid, str) or headers.get("typ") not in types:
        raise ValueError("unexpected header")
    return _plain(keys.get_by_kid(kid))


def _plain(key: Key) -> OKPKey:
    """The key without its `alg`, which the library would hold against the name it knows."""
    described = key.as_dict(private=False)
    return OKPKey.import_key({name: str(described[name]) for name in ("kty", "crv", "x")})


def _refused(text: str) -> SomaError:
    return SomaError(Reason.UNAUTHENTICATED, text)
