"""API keys, the tokens made from them, tenants, and the rules of handing out rights."""

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
"""Keys that a tenant may make within `CREATED_WITHIN`: every process knows all keys, and all revoked ones."""
CREATED_WITHIN = timedelta(days=30)
DEFAULT_ROLE = "member"
MAX_SCANNED_KEYS = 200
"""Keys that are looked at for one page."""
_RETRY_AFTER_S = 3_600.0
PLATFORM_ADMIN = "platform_admin"
_SPIFFE_ID = re.compile("spiffe://", re.IGNORECASE)

# What each role includes; the Rego policy gives the same order its actions.
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
    """What is kept of a key: never its secret. Empty `personas` and `capsules` are those of its tenant."""

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

    def usable(self, now: datetime) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and now < self.expires_at

    def revoked(self, now: datetime) -> ApiKey:
        """The key after its revocation; a second one changes nothing."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now)


@dataclass(frozen=True)
class KeyPage:
    """One page of keys; `end` is the id that the next one follows, empty when there is none."""

    keys: Sequence[ApiKey]
    end: str = ""


@dataclass(frozen=True)
class Revocation:
    """A key id to refuse until the key would have expired anyway."""

    key_id: str
    expires_at: datetime


@dataclass(frozen=True)
class CreatedKey:
    """A key that was made, and its place in the order in which keys are made."""

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


def page_of(found: Sequence[ApiKey], active_at: datetime | None, limit: int, looked_at: int) -> KeyPage:
    """The page of the newest keys, of which one more than are looked at was `found` when there are more."""
    looked = found[:looked_at]
    usable = [key for key in looked if active_at is None or key.usable(active_at)]
    if len(usable) > limit:
        return KeyPage(usable[:limit], usable[limit - 1].key_id)
    return KeyPage(usable, looked[-1].key_id if len(found) > looked_at else "")


def too_many_keys(most: int) -> SomaError:
    """The error of a tenant that made as many keys lately as it may."""
    return SomaError(
        Reason.RATE_LIMITED,
        f"Your tenant made {most} API keys within {CREATED_WITHIN.days} days, the most it may; make tokens from a key",
        retry_after_s=_RETRY_AFTER_S,
    )


def rights(roles: Iterable[str]) -> frozenset[str]:
    """Every role that these roles include; an unknown role includes itself alone."""
    return frozenset().union(*(_INCLUDES.get(role, frozenset({role})) for role in roles))


def granted(wanted: Sequence[str], giver: Sequence[str]) -> tuple[str, ...]:
    """The wanted roles, or PERMISSION_DENIED when the giver does not have them all."""
    missing = sorted(set(wanted) - rights(giver))
    if missing:
        raise SomaError(Reason.PERMISSION_DENIED, f"roles: you cannot give what you do not have: {', '.join(missing)}")
    return tuple(dict.fromkeys(wanted))


def key_subject(wanted: str, creator: str) -> str:
    """Whom a new key acts as, the creator unless another is wanted.

    INVALID_ARGUMENT for a SPIFFE id: audit entries of services have theirs as the subject.
    """
    subject = wanted or creator
    if _SPIFFE_ID.search(subject):
        raise invalid("api_key.subject", "must not contain spiffe://, which names services")
    return subject


def expiry(now: datetime, wanted: datetime | None) -> datetime:
    """When a new key expires: in a year unless an earlier time is wanted."""
    latest = now + KEY_LIFETIME
    if wanted is None:
        return latest
    if wanted <= now:
        raise invalid("api_key.expire_time", "must be in the future")
    if wanted > latest:
        raise invalid("api_key.expire_time", f"must be within {KEY_LIFETIME.days} days")
    return wanted
