"""A ledger with its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.testing import FakeClock
    from svc_selector.app.ports import Decisions, Ledger

LIMIT = 1_000


@dataclass
class LedgerHarness:
    ledger: Ledger
    decisions: Decisions
    clock: FakeClock
