"""What the contract suite of the registry's stores writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.idempotency import RequestKey
from svc_registry.app.ports import Quotas, Request
from svc_registry.domain import (
    PLATFORM,
    AllowLists,
    Capability,
    Constraints,
    Health,
    HealthState,
    Kind,
    Ladder,
    LadderKey,
    Modality,
    Price,
    PriceList,
    PriceUnit,
    Report,
    apply_report,
)

if TYPE_CHECKING:
    from svc_registry.app.ports import ChangeFeed, Store

    class BothStore(Store, ChangeFeed): ...


NOW = datetime(2026, 3, 1, tzinfo=UTC)
MERMAID = Capability(
    tool_id="mermaid",
    provider="local",
    kind=Kind.TOOL,
    modalities=(Modality.DIAGRAM,),
    task_types=("image_diagram",),
    input_schema={"type": "object", "required": ["diagram"]},
    constraints=Constraints(formats=("png", "svg"), max_duration_s=1.5, source_languages=("mermaid",)),
    price_list=PriceList("v1", NOW, (Price(PriceUnit.CALL, 5),)),
    tags=("local",),
    version=1,
    created_at=NOW,
    updated_at=NOW,
)
QUOTAS = Quotas(capabilities=2, ladders=2)
PRIVATE = replace(MERMAID, tenant_id="acme", allow=AllowLists(tenants=("acme",), roles=("member",)))
REQUEST = Request("acme", RequestKey.for_request("r1", b"one"))
KEY = LadderKey(Modality.DIAGRAM, "image_diagram")
LADDER = Ladder(KEY, ("mermaid@local", "d2@local"), PLATFORM, 1, "", NOW)


def failed(before: Health) -> Health:
    return apply_report(before, Report(HealthState.UNHEALTHY, "down", circuit_open=True, reporter="p1"), NOW)


def unaudited(before: Health, after: Health) -> str:
    return ""
