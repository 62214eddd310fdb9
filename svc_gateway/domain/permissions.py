"""What a tenant may use, and how a key narrows it for one caller."""

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
    """What one caller may use now: the effective plan, and the tenant's permissions narrowed by the key."""

    tenant_id: str
    plan: str
    permissions: TenantPermissions


def effective_plan(plan: str, profile: str) -> str:
    """Returns the plan that applies in a profile: the dev plan applies in the profiles dev and test only."""
    return NO_PLAN if plan == DEV_PLAN and profile not in DEV_PROFILES else plan


def effective(tenant: Tenant, key: ApiKey, profile: str) -> EffectivePermissions:
    """Returns the tenant's permissions, narrowed by the key."""
    own = tenant.permissions
    narrowed = replace(
        own,
        data_classification_floor=own.data_classification_floor or LOWEST_CLASSIFICATION,
        personas=_intersection(own.personas, key.personas),
        capsules=_intersection(own.capsules, key.capsules),
    )
    return EffectivePermissions(tenant.tenant_id, effective_plan(tenant.plan, profile), narrowed)


def allowed_names(
    field: str, requested: Sequence[str], tenant_names: Sequence[str], creator_names: Sequence[str]
) -> tuple[str, ...]:
    """Returns the names that a new key is narrowed to; empty: all of the tenant's.

    PERMISSION_DENIED when the tenant, or the key that creates it (`creator_names`, empty: not narrowed), lacks one.
    """
    available = _intersection(tenant_names, creator_names)
    missing = sorted(set(requested) - set(available))
    if missing:
        raise SomaError(
            Reason.PERMISSION_DENIED, f"{field}: you cannot give what you do not have: {', '.join(missing)}"
        )
    return tuple(dict.fromkeys(requested)) or tuple(creator_names)


def _intersection(names: Sequence[str], narrowed_to: Sequence[str]) -> tuple[str, ...]:
    """The names that are also in `narrowed_to`; all of them when that is empty."""
    return tuple(name for name in names if not narrowed_to or name in narrowed_to)
