"""The events that the registry publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.events.event import Event
from mesh.events.topics import facts_of
from mesh.ids import derive
from soma.events.v1 import facts_pb2
from svc_registry.context import NAME
from svc_registry.rpc.convert import capability_to_proto

if TYPE_CHECKING:
    from svc_registry.domain import Capability


def capability_changed(capability: Capability, subject: str) -> Event:
    """Returns the event of a capability's change; its id follows from the capability and its version."""
    payload = facts_pb2.CapabilityChanged(capability=capability_to_proto(capability), subject=subject)
    if capability.updated_at is None:
        raise ValueError("a capability that changed has the time of its change")
    return Event.from_message(
        payload,
        event_id=derive("capability.changed", *reversed(capability.key), str(capability.version)),
        topic=facts_of(NAME),
        key=capability.capability_id,
        tenant_id=capability.tenant_id,
        occurred_at=capability.updated_at,
    )
