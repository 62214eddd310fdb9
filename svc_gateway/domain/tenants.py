"""Which fields of a tenant can be changed, and what they become."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mesh.errors import invalid
from svc_gateway.domain.permissions import NO_PLAN, TenantPermissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from svc_gateway.domain.keys import Tenant

_WHOLE = ("display_name", "plan", "permissions")
_PART = "permissions."
CHANGEABLE = (*_WHOLE, *(f"{_PART}{field.name}" for field in fields(TenantPermissions)))


def masked(paths: Iterable[str]) -> tuple[str, ...]:
    """The fields that an update mask names; INVALID_ARGUMENT for one that cannot be changed."""
    named = tuple(paths)
    if named == ("*",):
        return _WHOLE
    for path in named:
        if path not in CHANGEABLE:
            raise invalid("update_mask", f"{path!r} cannot be changed; possible: {', '.join(CHANGEABLE)}")
    return named


def changed(before: Tenant, changes: Mapping[str, object]) -> Tenant:
    """The tenant with new values of fields, which are named as in CHANGEABLE."""
    whole: dict[str, Any] = {path: value for path, value in changes.items() if path in _WHOLE}
    parts: dict[str, Any] = {path.removeprefix(_PART): value for path, value in changes.items() if path not in _WHOLE}
    after = replace(before, **whole)
    after = replace(after, permissions=replace(after.permissions, **parts))
    return replace(after, display_name=after.display_name or after.tenant_id, plan=after.plan or NO_PLAN)
