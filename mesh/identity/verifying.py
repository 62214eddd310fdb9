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
from mesh.identity.claims import SERVICE_ROLE, SHORT_LIVED_S, SYSTEM_TENANT, Payload, bare_token
from mesh.identity.key_ids import Existence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from joserfc.jwk import Key, KeySet
    from joserfc.registry import Header

    from mesh.clock import Clock

    class UnverifiedToken(Protocol):
        """A signed token whose signature is yet to be checked."""

        def headers(self) -> Header:
            """Its header parameters."""

        def set_kid(self, kid: str) -> None:
            """Name its key."""


ALGORITHM = "EdDSA"
CACHED_TOKENS = 4_096
MAX_TOKEN_CHARS = 8_192
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


JWS_REGISTRY = _registry()


@dataclass(frozen=True)
class _Verified:
    payload: Payload
    kid: str
    caller: Caller


class ApiKeyExistence(Protocol):
    """What is known of which keys exist."""

    def existence_of(self, tenant_id: str, key_id: str, issued_at: float) -> Existence:
        """Whether the key of a credential exists that was issued at a time, in seconds since 1970."""

    async def confirm(self, tenant_id: str, key_id: str) -> None:
        """Wait until that is known of a key, for a moment."""


class UnconfirmedKeyError(SomaError):
    """DEPENDENCY_UNAVAILABLE: the key may have been made since the known ones were read."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(
            Reason.DEPENDENCY_UNAVAILABLE,
            "Whether this key exists cannot be told at the moment: retry",
            retry_after_s=1.0,
        )
        self.caller = caller


class TokenVerifier:
    """Tells who a token belongs to. Signatures are cached by digest; at most 4,096, the least used leave first.

    `jwks` gives the keys now, `revoked` says whether a key id is revoked, `existing` whether there is such a key (None:
    not asked), and `is_current` whether both are known well enough to accept API keys: if not, only short-lived tokens
    pass. All are asked on every call. `on_absent` hears of each caller whose key does not exist although the
    signature is true. A service's own tokens come from no key.
    """

    def __init__(
        self,
        jwks: Callable[[], KeySet],
        issuer: str,
        audience: str,
        clock: Clock,
        revoked: Callable[[str], bool],
        *,
        existing: ApiKeyExistence | None = None,
        is_current: Callable[[], bool] = lambda: True,
        on_absent: Callable[[Caller], None] = lambda _: None,
    ) -> None:
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._revoked = revoked
        self._existing = existing
        self._is_current = is_current
        self._on_absent = on_absent
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()

    async def authenticate(self, token: str) -> Caller:
        """Like `verify`, but waits a moment where the key may just have been made."""
        try:
            return self.verify(token)
        except UnconfirmedKeyError as error:
            if self._existing is not None:
                await self._existing.confirm(error.caller.tenant_id, error.caller.key_id)
            return self.verify(token)

    def verify(self, token: str) -> Caller:
        """The caller of a JWS or of an API key that holds one; SomaError UNAUTHENTICATED when it is not good.

        UnconfirmedKeyError when it cannot be told yet.
        """
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
            signed = jws.deserialize_compact(token, self._key_for, registry=JWS_REGISTRY)
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

    def _key_for(self, signed: UnverifiedToken) -> OKPKey:
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
        existence = self._existence(payload)
        if existence is Existence.ABSENT:
            self._on_absent(found.caller)
            raise _refused("The key of this token does not exist")
        if not self._is_current():
            _refuse_all_but_short_lived(payload)
        elif existence is Existence.UNCONFIRMED:
            raise UnconfirmedKeyError(found.caller)

    def _existence(self, payload: Payload) -> Existence:
        if self._existing is None or payload.is_own_work:
            return Existence.EXISTS
        return self._existing.existence_of(payload.tenant, payload.jti, payload.iat)

    def _remember(self, digest: bytes, found: _Verified) -> None:
        self._cache[digest] = found
        if len(self._cache) > CACHED_TOKENS:
            self._cache.popitem(last=False)


def key_for(keys: KeySet, signed: UnverifiedToken, types: Collection[str | None]) -> OKPKey:
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


def _refuse_all_but_short_lived(payload: Payload) -> None:
    if payload.kind == "key" or payload.exp - payload.iat > SHORT_LIVED_S:
        raise SomaError(
            Reason.DEPENDENCY_UNAVAILABLE,
            "Whether this key is revoked cannot be told at the moment: use a short-lived token, or retry",
            retry_after_s=1.0,
        )


def _refused(text: str) -> SomaError:
    return SomaError(Reason.UNAUTHENTICATED, text)
