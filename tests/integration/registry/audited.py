"""Capabilities and ladders: what is audited, and a call of every method that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf import field_mask_pb2

from mesh.events.outbox import Outbox
from soma.registry.v1 import capability_service_pb2 as registry_pb
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.app import Catalog, Registry
from svc_registry.events.published import capability_changed
from svc_registry.rpc import CapabilityServicer
from tests.integration.contexts.audit.observer import CLOCK, SECRET, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Capabilities and ladders."""
    store = PostgresStore(observer.postgres, Outbox(), auditor, capability_changed)
    async with Catalog(store, store, "test").running() as catalog:
        servicer = CapabilityServicer(Registry(store, catalog, CLOCK), catalog, unasked)
        name = "canary@local"
        offer = {"tool_id": "canary", "provider": "local", "kind": "CAPABILITY_KIND_TOOL", "description": SECRET}
        full = {**offer, "modalities": ["MODALITY_TOOL"], "task_types": ["tool"]}
        requests = {
            "RegisterCapability": registry_pb.RegisterCapabilityRequest(capability=full),  # type: ignore[arg-type]
            "UpdateCapability": registry_pb.UpdateCapabilityRequest(
                capability_id=name,
                capability={**full, "display_name": "Canary"},  # type: ignore[arg-type]
                update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
            ),
            "ReportHealth": registry_pb.ReportHealthRequest(
                capability_id=name,
                state="HEALTH_STATE_UNHEALTHY",  # type: ignore[arg-type]
                circuit_open=True,
            ),
            "ResetFailures": registry_pb.ResetFailuresRequest(capability_id=name),
            "DisableCapability": registry_pb.DisableCapabilityRequest(capability_id=name),
            "DeleteCapability": registry_pb.DeleteCapabilityRequest(capability_id=name),
            "SetLadder": registry_pb.SetLadderRequest(
                ladder={"modality": "MODALITY_TOOL", "task_type": "tool", "capability_ids": [name]}  # type: ignore[arg-type]
            ),
        }
        for method, request in requests.items():
            await observer.call("soma.registry.v1.CapabilityService", servicer, method, request)


AUDIT = ContextAudit(
    drive,
    audited={
        "CapabilityService.RegisterCapability": Entry("capability.write", "capability"),
        "CapabilityService.UpdateCapability": Entry("capability.write", "capability"),
        "CapabilityService.DisableCapability": Entry("capability.write", "capability"),
        "CapabilityService.DeleteCapability": Entry("capability.write", "capability"),
        "CapabilityService.ResetFailures": Entry("capability.write", "capability_health"),
        "CapabilityService.ReportHealth": Entry(
            "capability.report_health", "capability_health", "when it takes a capability out of the choice or back"
        ),
        "CapabilityService.SetLadder": Entry("ladder.write", "ladder"),
    },
)
