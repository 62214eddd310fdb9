"""Field masks of UpdateTenant: which fields can be changed, and how changes are applied."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mesh.errors import invalid
from svc_gateway.domain.permissions import NO_PLAN, TenantPermissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from svc_gateway.domain.keys import Tenant

_TOP_LEVEL = ("display_name", "plan", "permissions")
_PERMISSIONS_PREFIX = "permissions."
MUTABLE_FIELDS = (*_TOP_LEVEL, *(f"{_PERMISSIONS_PREFIX}{field.name}" for field in fields(TenantPermissions)))


def masked_fields(paths: Iterable[str]) -> tuple[str, ...]:
    """Returns the fields that an update mask names; INVALID_ARGUMENT for one that cannot be changed."""
    named = tuple(paths)
    if named == ("*",):
        return _TOP_LEVEL
    for path in named:
        if path not in MUTABLE_FIELDS:
            raise invalid("update_mask", f"{path!r} cannot be changed; possible: {', '.join(MUTABLE_FIELDS)}")
    return named


def apply_changes(before: Tenant, changes: Mapping[str, object]) -> Tenant:
    """Returns the tenant with new values of fields, which are named as in MUTABLE_FIELDS."""
    top_level: dict[str, Any] = {path: value for path, value in changes.items() if path in _TOP_LEVEL}
    permissions: dict[str, Any] = {
        path.removeprefix(_PERMISSIONS_PREFIX): value for path, value in changes.items() if path not in _TOP_LEVEL
    }
    after = replace(before, **top_level)
    after = replace(after, permissions=replace(after.permissions, **permissions))
    return replace(after, display_name=after.display_name or after.tenant_id, plan=after.plan or NO_PLAN)
