"""What tenants may use, and what is left of it for one caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_gateway.domain.keys import ApiKey, Tenant

NO_PLAN = "none"
DEV_PLAN = "dev"
DEV_PROFILES = frozenset({"dev", "test"})
LOWEST_CLASSIFICATION = "public"
MAX_ASSET_MIB = 1_048_576
"""The largest asset that a tenant may be allowed, in MiB."""


@dataclass(frozen=True)
class AssetByteLimits:
    """Largest asset by media type, in bytes; 0: the platform's limit."""

    image: int = 0
    audio: int = 0
    video: int = 0
    document: int = 0
    text: int = 0
    other: int = 0


@dataclass(frozen=True)
class TenantPermissions:
    """What a tenant may use within its plan.

    Empty denials deny nothing, empty `personas` and `capsules` allow none. An empty `max_cost_tier` is no limit, an
    empty `data_classification_floor` the lowest classification.
    """

    denied_providers: tuple[str, ...] = ()
    denied_tools: tuple[str, ...] = ()
    max_cost_tier: str = ""
    data_classification_floor: str = ""
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()
    max_asset_bytes: AssetByteLimits = AssetByteLimits()


DEFAULT_PERMISSIONS = TenantPermissions()


@dataclass(frozen=True)
class EffectivePermissions:
    """What one caller may use now: the plan that counts, and the tenant's permissions narrowed by the key."""

    tenant_id: str
    plan: str
    permissions: TenantPermissions


def plan_in_effect(plan: str, profile: str) -> str:
    """The plan that counts in a profile: the one for development counts in development and tests only."""
    return NO_PLAN if plan == DEV_PLAN and profile not in DEV_PROFILES else plan


def effective(tenant: Tenant, key: ApiKey, profile: str) -> EffectivePermissions:
    """The tenant's permissions, narrowed by the key."""
    own = tenant.permissions
    narrowed = replace(
        own,
        data_classification_floor=own.data_classification_floor or LOWEST_CLASSIFICATION,
        personas=_within(own.personas, key.personas),
        capsules=_within(own.capsules, key.capsules),
    )
    return EffectivePermissions(tenant.tenant_id, plan_in_effect(tenant.plan, profile), narrowed)


def narrowing(field: str, wanted: Sequence[str], tenants: Sequence[str], creators: Sequence[str]) -> tuple[str, ...]:
    """The names that a new key is narrowed to, empty for those of the tenant.

    PERMISSION_DENIED when the tenant, or the key of whoever creates it (`creators`, empty: not narrowed), lacks one.
    """
    allowed = _within(tenants, creators)
    missing = sorted(set(wanted) - set(allowed))
    if missing:
        raise SomaError(
            Reason.PERMISSION_DENIED, f"{field}: you cannot give what you do not have: {', '.join(missing)}"
        )
    return tuple(dict.fromkeys(wanted)) or tuple(creators)


def _within(names: Sequence[str], narrowed: Sequence[str]) -> tuple[str, ...]:
    """The names that are also in `narrowed`, when that has any."""
    return tuple(name for name in names if not narrowed or name in narrowed)
