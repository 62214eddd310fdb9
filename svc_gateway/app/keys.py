"""Use cases on API keys and on the tokens made from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.events.audit import AuditEntry, canonical
from mesh.idempotency import NO_KEY, RequestKey
from mesh.identity import Claims, api_key
from svc_gateway.domain.keys import (
    DEFAULT_ROLE,
    PLATFORM_ADMIN,
    TOKEN_LIFETIME,
    ApiKey,
    KeyPage,
    grantable_roles,
    key_expiry,
    key_subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.ids import Ids
    from svc_gateway.app.permissions import Permissions
    from svc_gateway.app.ports import KeyStore, Minter


@dataclass(frozen=True)
class KeySpec:
    """The requested fields of a new key; empty ones take their defaults."""

    display_name: str
    subject: str = ""
    roles: tuple[str, ...] = ()
    expires_at: datetime | None = None
    tenant_id: str = ""
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()
    request: RequestKey = NO_KEY


@dataclass(frozen=True)
class KeyWithSecret:
    """A key and its secret, which is empty when the same request created the key before."""

    key: ApiKey
    secret: str = ""


class ApiKeyUseCases:
    """API keys of the caller's tenant."""

    def __init__(
        self, store: KeyStore, permissions: Permissions, minter: Minter, environment: str, *, clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._permissions = permissions
        self._minter = minter
        self._environment = environment
        self._clock = clock
        self._ids = ids

    async def create(self, caller: Caller, spec: KeySpec) -> KeyWithSecret:
        """Creates a key with roles that the caller has; its secret is returned this once.

        A repeated request gets the key that it created, even if that has expired. Only platform administrators create
        keys for another tenant; to others that tenant does not exist.
        """
        tenant_id = spec.tenant_id or caller.tenant_id
        if tenant_id != caller.tenant_id and PLATFORM_ADMIN not in caller.roles:
            raise not_found("tenant", tenant_id)
        _require_direct_caller(caller)
        earlier = await self._store.find_by_request(tenant_id, spec.request)
        if earlier is not None:
            return KeyWithSecret(earlier)
        personas, capsules = await self._permissions.narrow(caller, tenant_id, spec.personas, spec.capsules)
        key = replace(self._new(caller, spec, tenant_id), personas=personas, capsules=capsules)
        # Signed before it is stored: a stored key whose secret does not exist would be of no use.
        token = await self._minter.mint(_claims(key), (key.expires_at - key.created_at).total_seconds())
        earlier = await self._store.add(key, spec.request)
        if earlier is not None:
            return KeyWithSecret(earlier)
        return KeyWithSecret(key, api_key(self._environment, token))

    def _new(self, caller: Caller, spec: KeySpec, tenant_id: str) -> ApiKey:
        now = self._clock.now()
        return ApiKey(
            key_id=self._ids.new(),
            tenant_id=tenant_id,
            display_name=spec.display_name,
            subject=key_subject(spec.subject, caller.subject),
            roles=grantable_roles(spec.roles or (DEFAULT_ROLE,), caller.roles),
            created_at=now,
            expires_at=key_expiry(now, spec.expires_at),
            created_by=caller.subject,
        )

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """Returns one key."""
        key = await self._store.get(caller.tenant_id, key_id)
        if key is None:
            raise not_found("API key", key_id)
        return key

    async def list(self, caller: Caller, *, include_inactive: bool, size: int, before: str) -> KeyPage:
        """Returns keys with ids below `before` (empty: all), newest first."""
        active_at = None if include_inactive else self._clock.now()
        return await self._store.list(caller.tenant_id, active_at, before, size)

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revokes a key, and with it the tokens made from it."""
        key = await self._store.revoke(caller.tenant_id, key_id, self._clock.now())
        if key is None:
            raise not_found("API key", key_id)
        return key


@dataclass(frozen=True)
class IssuedToken:
    """A token and when it expires."""

    token: str
    expires_at: datetime


class Tokens:
    """Short-lived tokens. Each is audited before it is returned; `audit` raises when that cannot be done."""

    def __init__(self, store: KeyStore, minter: Minter, audit: Callable[[AuditEntry], None], clock: Clock) -> None:
        self._store = store
        self._minter = minter
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Caller, ttl: timedelta | None, roles: Sequence[str]) -> IssuedToken:
        """Creates a token with the caller's roles or fewer; it expires no later than the credential and key used."""
        now = self._clock.now()
        key = await self._store.get(caller.tenant_id, caller.key_id)
        if key is None or not key.is_active(now):
            raise SomaError(Reason.UNAUTHENTICATED, "The key behind this call is unknown, expired or revoked")
        expires_at = min(now + (ttl or TOKEN_LIFETIME), key.expires_at, caller.expires_at or key.expires_at)
        claims = Claims(
            tenant_id=caller.tenant_id,
            subject=caller.subject,
            roles=grantable_roles(roles or caller.roles, caller.roles),
            scopes=caller.scopes,
            key_id=key.key_id,
            actor=caller.actor,
        )
        token = await self._minter.mint(claims, (expires_at - now).total_seconds())
        created = canonical([claims, expires_at])
        self._audit(AuditEntry("token.create", "token", key.key_id, after=created, tenant_id=caller.tenant_id))
        return IssuedToken(token, expires_at)


def _require_direct_caller(caller: Caller) -> None:
    """PERMISSION_DENIED for a caller with an actor or with scopes: a key would lose these restrictions."""
    if caller.actor or caller.scopes:
        raise SomaError(
            Reason.PERMISSION_DENIED,
            "Delegated or scoped credentials cannot create API keys; call with an unscoped API key",
        )


def _claims(key: ApiKey) -> Claims:
    return Claims(tenant_id=key.tenant_id, subject=key.subject, roles=key.roles, key_id=key.key_id, kind="key")
