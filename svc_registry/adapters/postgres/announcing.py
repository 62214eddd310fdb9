"""What one process announces to the others, as the text of a notification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_registry.app.ports import OwnedLadderKey
from svc_registry.domain import CapabilityKey, LadderKey, Modality

if TYPE_CHECKING:
    from svc_registry.app.ports import ChangedKey

CHANNEL = "registry_changed"
_CAPABILITY, _LADDER = "capability", "ladder"


def announcement(changed: ChangedKey) -> str:
    """The text for what has changed."""
    if isinstance(changed, OwnedLadderKey):
        return f"{_LADDER} {changed.tenant_id}/{changed.key.modality}/{changed.key.task_type}"
    return f"{_CAPABILITY} {changed.tenant_id}/{changed.capability_id}"


def changed_from(text: str) -> ChangedKey | None:
    """What has changed by a text; None when that is unknown, so that all must be read again.

    A replica of an older release announces a capability without its owner.
    """
    kind, _, id_ = text.partition(" ")
    owner, _, rest = id_.partition("/")
    modality, _, task_type = rest.partition("/")
    if kind == _CAPABILITY and "@" in rest:
        return CapabilityKey(rest, owner)
    if kind == _LADDER and modality in frozenset(Modality) and task_type:
        return OwnedLadderKey(owner, LadderKey(Modality(modality), task_type))
    return None
