"""A ledger with its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svc_selector.domain.budget import CallCharge

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from svc_selector.app.ports import Decisions, Ledger

LIMIT = 1_000


@dataclass
class LedgerHarness:
    ledger: Ledger
    decisions: Decisions
    clock: FakeClock


def at_cost(micro_usd: int) -> CallCharge:
    """A settlement at a cost that the caller computed."""
    return CallCharge(cost_micro_usd=micro_usd)
