"""API keys, the tokens made from them, tenants, and which roles a caller may give to a key."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid
from svc_gateway.domain.permissions import DEFAULT_PERMISSIONS, TenantPermissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


KEY_LIFETIME = timedelta(days=365)
TOKEN_LIFETIME = timedelta(minutes=15)
MAX_CREATED_KEYS = 1_000
"""Keys that a tenant may create within `CREATED_KEYS_WINDOW`; limited, since every process holds all keys in memory."""
CREATED_KEYS_WINDOW = timedelta(days=30)
DEFAULT_ROLE = "member"
MAX_SCANNED_KEYS = 200
"""Rows that are read for one page at most."""
_RETRY_AFTER_S = 3_600.0
PLATFORM_ADMIN = "platform_admin"
_SPIFFE_ID = re.compile("spiffe://", re.IGNORECASE)

# What each role includes; the Rego policy grants actions by the same order of roles.
_INCLUDES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "viewer": frozenset({"viewer"}),
        "member": frozenset({"viewer", "member"}),
        "admin": frozenset({"viewer", "member", "admin"}),
        PLATFORM_ADMIN: frozenset({"viewer", "member", "admin", PLATFORM_ADMIN}),
    }
)


@dataclass(frozen=True)
class ApiKey:
    """An API key as stored, without its secret. Empty `personas` and `capsules`: those of its tenant."""

    key_id: str
    tenant_id: str
    display_name: str
    subject: str
    roles: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    created_by: str
    revoked_at: datetime | None = None
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()

    def is_active(self, now: datetime) -> bool:
        """Whether it is accepted: neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at

    def revoke(self, now: datetime) -> ApiKey:
        """Returns the revoked key; a revoked key is returned as it is."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


@dataclass(frozen=True)
class KeyPage:
    """One page of keys; the next page begins after the id `next_cursor`, which is empty on the last page."""

    keys: Sequence[ApiKey]
    next_cursor: str = ""


@dataclass(frozen=True)
class Revocation:
    """A revoked key id, which is refused until the key expires."""

    key_id: str
    expires_at: datetime


@dataclass(frozen=True)
class CreatedKey:
    """A key as others learn of it when it is created; keys are read in the order of `created_at` and `key_id`."""

    key_id: str
    tenant_id: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class Tenant:
    """A customer."""

    tenant_id: str
    display_name: str
    plan: str
    created_at: datetime
    permissions: TenantPermissions = DEFAULT_PERMISSIONS


def page_of_keys(keys: Sequence[ApiKey], active_at: datetime | None, limit: int, max_scanned: int) -> KeyPage:
    """Returns a page of at most `limit` keys; `keys` has more than `max_scanned` when the store has more."""
    scanned = keys[:max_scanned]
    listed = [key for key in scanned if active_at is None or key.is_active(active_at)]
    if len(listed) > limit:
        return KeyPage(listed[:limit], listed[limit - 1].key_id)
    return KeyPage(listed, scanned[-1].key_id if len(keys) > max_scanned else "")


def too_many_keys(limit: int) -> SomaError:
    """Returns the error for a tenant that reached its limit of created keys."""
    return SomaError(
        Reason.RATE_LIMITED,
        f"Your tenant made {limit} API keys within {CREATED_KEYS_WINDOW.days} days, the most it may; "
        "make tokens from a key",
        retry_after_s=_RETRY_AFTER_S,
    )


def included_roles(roles: Iterable[str]) -> frozenset[str]:
    """Returns every role that these roles include; an unknown role includes itself alone."""
    return frozenset().union(*(_INCLUDES.get(role, frozenset({role})) for role in roles))


def grantable_roles(requested: Sequence[str], caller_roles: Sequence[str]) -> tuple[str, ...]:
    """Returns the requested roles without duplicates; PERMISSION_DENIED when the caller's do not include them all."""
    missing = sorted(set(requested) - included_roles(caller_roles))
    if missing:
        raise SomaError(Reason.PERMISSION_DENIED, f"roles: you cannot give what you do not have: {', '.join(missing)}")
    return tuple(dict.fromkeys(requested))


def key_subject(requested: str, creator: str) -> str:
    """Returns the subject of a new key: its creator unless another is requested.

    INVALID_ARGUMENT for a SPIFFE id: audit entries of services have theirs as the subject.
    """
    subject = requested or creator
    if _SPIFFE_ID.search(subject):
        raise invalid("api_key.subject", "must not contain spiffe://, which names services")
    return subject


def key_expiry(now: datetime, requested: datetime | None) -> datetime:
    """Returns when a new key expires: after KEY_LIFETIME unless an earlier time is requested."""
    latest = now + KEY_LIFETIME
    if requested is None:
        return latest
    if requested <= now:
        raise invalid("api_key.expire_time", "must be in the future")
    if requested > latest:
        raise invalid("api_key.expire_time", f"must be within {KEY_LIFETIME.days} days")
    return requested
