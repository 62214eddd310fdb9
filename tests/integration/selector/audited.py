"""Budgets, and a choice that policy forbids: what is audited, and a call of every method that is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from soma.selector.v1 import budget_service_pb2
from svc_selector.adapters.postgres import PostgresLedger
from svc_selector.domain.decision import Decision, Rejection
from svc_selector.domain.model import DecisionSource, FilterStage, Requirements, SelectionRequest, Subject
from svc_selector.rpc import BudgetServicer
from tests.contract.selector.harness import decision_store
from tests.integration.contexts.audit.observer import CLOCK, IDS, SECRET, TENANT, TRACE, AuditObserver
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Budgets, and a choice that policy forbids."""
    decisions = decision_store(observer.postgres, auditor)
    ledger = PostgresLedger(observer.postgres, decisions, auditor, clock=CLOCK, ids=IDS, default_limit_micro_usd=1)
    cap = budget_service_pb2.SetBudgetRequest(budget=budget_service_pb2.Budget(limit_micro_usd=5))
    await observer.call(
        "soma.selector.v1.BudgetService", BudgetServicer(ledger, timedelta(minutes=15)), "SetBudget", cap
    )
    denied = Rejection("d2@local", FilterStage.POLICY, "EGRESS_DENIED", "no")
    decision = Decision(
        selection_id=IDS.new(), selection_request=SelectionRequest(Requirements("image", "image_photo")),
        subject=Subject(TENANT, "alice"), chosen=None,
        ranked=(), rejected=(denied,), source=DecisionSource.LADDER, reason=SECRET, policy_id="p", ladder_version=1,
        reservation=None,
        degradation_level=DegradationLevel.NONE, stale_since=None, decided_at=CLOCK.now(), elapsed_us=1,
        traceparent=f"00-{TRACE}-1-00",
    )  # fmt: skip
    await decisions.record([decision, replace(decision, selection_id=IDS.new(), rejected=())])
    await observer.note("soma.selector.v1.SelectorService.Select")


AUDIT = ContextAudit(
    drive,
    audited={
        "BudgetService.SetBudget": Entry("budget.write", "budget"),
        "SelectorService.Select": Entry(
            "selection.create", "selection", "when policy leaves nothing to choose: a refusal"
        ),
    },
    not_audited={
        "BudgetService.RenewReservation": "holds what a selection had reserved; facts tell it",
        "BudgetService.SettleReservation": "books what a selection had reserved; facts tell it",
        "BudgetService.ReleaseReservation": "gives back what a selection had reserved; facts tell it",
    },
)
