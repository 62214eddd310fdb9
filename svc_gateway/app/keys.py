"""Making, reading and revoking API keys, and making tokens from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.events.audit import AuditEntry, canonical
from mesh.idempotency import NO_KEY, RequestKey
from mesh.identity import Claims, api_key
from svc_gateway.domain.keys import DEFAULT_ROLE, TOKEN_LIFETIME, ApiKey, KeyPage, expiry, granted, key_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.ids import Ids
    from svc_gateway.app.permissions import Permissions
    from svc_gateway.app.ports import KeyStore, Minter


PLATFORM_ADMIN = "platform_admin"


@dataclass(frozen=True)
class NewKey:
    """What a caller asks of a new key; empty fields take their defaults."""

    display_name: str
    subject: str = ""
    roles: tuple[str, ...] = ()
    expires_at: datetime | None = None
    tenant_id: str = ""
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()
    request: RequestKey = NO_KEY


@dataclass(frozen=True)
class MadeKey:
    """A key and its secret; the secret is empty when the key had been made before."""

    key: ApiKey
    secret: str = ""


class Keys:
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

    async def create(self, caller: Caller, wanted: NewKey) -> MadeKey:
        """Make a key with rights that the caller has; the secret is told this once.

        The same request gets the key that it made, whatever has expired since. A key for another tenant is for the
        platform's administrators to make; to others that tenant does not exist.
        """
        tenant_id = wanted.tenant_id or caller.tenant_id
        if tenant_id != caller.tenant_id and PLATFORM_ADMIN not in caller.roles:
            raise not_found("tenant", tenant_id)
        _require_direct_caller(caller)
        earlier = await self._store.made(tenant_id, wanted.request)
        if earlier is not None:
            return MadeKey(earlier)
        personas, capsules = await self._permissions.narrowed(caller, tenant_id, wanted.personas, wanted.capsules)
        key = replace(self._new(caller, wanted, tenant_id), personas=personas, capsules=capsules)
        # Signed first: a key that is kept without its secret ever having been made would be of no use.
        token = await self._minter.mint(_claims(key), (key.expires_at - key.created_at).total_seconds())
        earlier = await self._store.add(key, wanted.request)
        if earlier is not None:
            return MadeKey(earlier)
        return MadeKey(key, api_key(self._environment, token))

    def _new(self, caller: Caller, wanted: NewKey, tenant_id: str) -> ApiKey:
        now = self._clock.now()
        return ApiKey(
            key_id=self._ids.new(),
            tenant_id=tenant_id,
            display_name=wanted.display_name,
            subject=key_subject(wanted.subject, caller.subject),
            roles=granted(wanted.roles or (DEFAULT_ROLE,), caller.roles),
            created_at=now,
            expires_at=expiry(now, wanted.expires_at),
            created_by=caller.subject,
        )

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """One key."""
        key = await self._store.get(caller.tenant_id, key_id)
        if key is None:
            raise not_found("API key", key_id)
        return key

    async def list(self, caller: Caller, *, include_inactive: bool, size: int, before: str) -> KeyPage:
        """Keys with ids below `before` (empty: all), newest first."""
        active_at = None if include_inactive else self._clock.now()
        return await self._store.list(caller.tenant_id, active_at, before, size)

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key and what was made from it."""
        key = await self._store.revoke(caller.tenant_id, key_id, self._clock.now())
        if key is None:
            raise not_found("API key", key_id)
        return key


@dataclass(frozen=True)
class MadeToken:
    """A token and when it expires."""

    token: str
    expires_at: datetime


class Tokens:
    """Short-lived tokens. Each is audited before it is handed out; `audit` raises when that cannot be done."""

    def __init__(self, store: KeyStore, minter: Minter, audit: Callable[[AuditEntry], None], clock: Clock) -> None:
        self._store = store
        self._minter = minter
        self._audit = audit
        self._clock = clock

    async def create(self, caller: Caller, ttl: timedelta | None, roles: Sequence[str]) -> MadeToken:
        """A token with the caller's rights or fewer, which outlives neither what was presented nor its key."""
        now = self._clock.now()
        key = await self._store.get(caller.tenant_id, caller.key_id)
        if key is None or not key.usable(now):
            raise SomaError(Reason.UNAUTHENTICATED, "The key behind this call is unknown, expired or revoked")
        expires_at = min(now + (ttl or TOKEN_LIFETIME), key.expires_at, caller.expires_at or key.expires_at)
        claims = Claims(
            tenant_id=caller.tenant_id,
            subject=caller.subject,
            roles=granted(roles or caller.roles, caller.roles),
            scopes=caller.scopes,
            key_id=key.key_id,
            actor=caller.actor,
        )
        token = await self._minter.mint(claims, (expires_at - now).total_seconds())
        created = canonical([claims, expires_at])
        self._audit(AuditEntry("token.create", "token", key.key_id, after=created, tenant_id=caller.tenant_id))
        return MadeToken(token, expires_at)


def _require_direct_caller(caller: Caller) -> None:
    """PERMISSION_DENIED when the caller is acted for, or narrowed by scopes: a key would keep neither."""
    if caller.actor or caller.scopes:
        raise SomaError(Reason.PERMISSION_DENIED, "A credential on behalf of somebody, or with scopes, makes no keys")


def _claims(key: ApiKey) -> Claims:
    return Claims(tenant_id=key.tenant_id, subject=key.subject, roles=key.roles, key_id=key.key_id, kind="key")
