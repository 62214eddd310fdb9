"""A selector on memory, with three diagram tools."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.ids import SystemIds
from mesh.policy import Policy
from mesh.settings import PolicySettings
from mesh.testing import FakeClock
from svc_selector.adapters.catalog import Catalog
from svc_selector.adapters.policy import RegoPolicy
from svc_selector.app import Recorder, Selector, SelectorOptions
from svc_selector.app.ports import PolicyDecision
from svc_selector.domain.model import (
    Candidate,
    Health,
    Ladder,
    Requirements,
    Subject,
)
from svc_selector.domain.permissions import Permissions
from svc_selector.rpc import SelectionConverter
from tests.in_memory.selector import MemoryDecisionStore, MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.app.ports import Policy as PolicyPort

NEED = Requirements("diagram", "image_diagram")
SUBJECT = Subject("acme", "alice", ("member",))
LADDER = Ladder(("mermaid@local", "plantuml@local", "d2@local"), 3)


def candidate(name: str, **changes: object) -> Candidate:
    tool, provider = name.split("@")
    plain = Candidate(name, tool, provider, ("diagram",), ("image_diagram",), health=Health.HEALTHY)
    return replace(plain, **changes)  # type: ignore[arg-type]


MERMAID, PLANTUML, D2 = candidate("mermaid@local"), candidate("plantuml@local"), candidate("d2@local")


@dataclass
class FixedGateway:
    level: DegradationLevel = DegradationLevel.NONE
    permissions: dict[str, Permissions] = field(default_factory=lambda: {"acme": Permissions("pro")})

    async def get(self, tenant_id: str, key_id: str) -> Permissions:
        return self.permissions.get(tenant_id, Permissions())


@dataclass
class SelectorHarness:
    selector: Selector
    catalog: Catalog
    ledger: MemoryLedger
    decisions: MemoryDecisionStore
    clock: FakeClock
    gateway: FixedGateway


def selector_harness(
    candidates: Sequence[Candidate],
    *,
    limit: int = 1_000_000,
    allow_force: bool = False,
    policy: PolicyPort | None = None,
) -> SelectorHarness:
    clock, ids = FakeClock(), SystemIds()
    catalog = Catalog()
    catalog.replace_all(candidates, {("", "diagram", "image_diagram"): LADDER})
    decisions = MemoryDecisionStore(SelectionConverter().to_bytes)
    ledger = MemoryLedger(decisions, clock, ids, limit)
    facts = FixedGateway()
    selector = Selector(
        candidates=catalog,
        policy=policy or RegoPolicy(Policy.load(PolicySettings()), "production"),
        permissions=facts,
        ledger=ledger,
        decisions=decisions,
        recorder=Recorder(decisions, clock),
        degradation=facts,
        clock=clock,
        ids=ids,
        options=SelectorOptions(reservation_ttl_s=60, max_stale_s=300, allow_force=allow_force),
    )
    return SelectorHarness(selector, catalog, ledger, decisions, clock, facts)


class SilentPolicy:
    """A planted bug: a policy that forgets a candidate."""

    is_cacheable = True

    def __init__(self) -> None:
        self.asked = 0

    async def evaluate(self, *_: object) -> PolicyDecision:
        self.asked += 1
        return PolicyDecision("silent", {})
