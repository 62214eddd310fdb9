"""A ledger with its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.events.outbox import Outbox
from svc_selector.adapters.postgres import PostgresDecisionStore
from svc_selector.domain.budget import CallCharge
from svc_selector.events.published import SelectionEvents
from svc_selector.rpc import SelectionConverter

if TYPE_CHECKING:
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres
    from mesh.testing import FakeClock
    from svc_selector.app.ports import DecisionStore, Ledger

LIMIT = 1_000


@dataclass
class LedgerHarness:
    ledger: Ledger
    decisions: DecisionStore
    clock: FakeClock


def decision_store(postgres: Postgres, auditor: Auditor) -> PostgresDecisionStore:
    """A store as the selector builds it."""
    converter = SelectionConverter()
    to_events = SelectionEvents(converter).from_decisions
    return PostgresDecisionStore(postgres, Outbox(), auditor, to_bytes=converter.to_bytes, to_events=to_events)


def at_cost(micro_usd: int) -> CallCharge:
    """A settlement at a cost that the caller computed."""
    return CallCharge(cost_micro_usd=micro_usd)
