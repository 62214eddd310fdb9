"""What tells capabilities apart."""

from __future__ import annotations

from typing import NamedTuple


class CapabilityKey(NamedTuple):
    """What tells a capability from all others: tenants may have private ones of equal ids, also of the platform's.

    `owner_tenant_id` is empty for the platform's.
    """

    capability_id: str
    owner_tenant_id: str = ""
