"""The payloads of NOTIFY by which the processes tell each other what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_registry.app.ports import OwnedLadderKey
from svc_registry.domain import CapabilityKey, LadderKey, Modality

if TYPE_CHECKING:
    from svc_registry.app.ports import ChangedKey

CHANNEL = "registry_changed"
_CAPABILITY, _LADDER = "capability", "ladder"


def encode_notification(changed: ChangedKey) -> str:
    """Returns the payload that names what changed."""
    if isinstance(changed, OwnedLadderKey):
        return f"{_LADDER} {changed.tenant_id}/{changed.key.modality}/{changed.key.task_type}"
    return f"{_CAPABILITY} {changed.tenant_id}/{changed.capability_id}"


def decode_notification(payload: str) -> ChangedKey | None:
    """Returns what changed; None when the payload does not say it, so that everything must be read again.

    A replica of an older release names a capability without its owner.
    """
    kind, _, key = payload.partition(" ")
    owner, _, name = key.partition("/")
    modality, _, task_type = name.partition("/")
    if kind == _CAPABILITY and "@" in name:
        return CapabilityKey(name, owner)
    if kind == _LADDER and modality in frozenset(Modality) and task_type:
        return OwnedLadderKey(owner, LadderKey(Modality(modality), task_type))
    return None
