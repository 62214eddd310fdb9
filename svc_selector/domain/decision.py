"""Decisions: the chosen capability, the ranking, and each rejected capability with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from mesh.degradation import DegradationLevel
    from svc_selector.domain.model import Candidate, DecisionSource, FilterStage, SelectionRequest, Subject


@dataclass(frozen=True)
class Rejection:
    """A candidate that was filtered out: at which stage, with a code for programs and a sentence for people.

    `needed` and `limit` are set where a limit was exceeded, in the unit that the code implies; `cost_micro_usd` where
    the cost exceeded the budget.
    """

    capability_id: str
    stage: FilterStage
    code: str
    reason: str
    needed: float | None = None
    limit: float | None = None
    cost_micro_usd: int | None = None


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate that passed every stage, with its rank from 1; `preferred` by the user, `forced` by the caller."""

    candidate: Candidate
    rank: int
    ladder_position: int
    cost_micro_usd: int
    reason: str
    preferred: bool = False
    forced: bool = False


@dataclass(frozen=True)
class BudgetReservation:
    """A reservation as part of a decision; `remaining_micro_usd` is the least that any cap has left afterwards."""

    reservation_id: str
    amount_micro_usd: int
    remaining_micro_usd: int
    expires_at: datetime


@dataclass(frozen=True, eq=False)
class RankingResult:
    """Candidates in order of rank, and the rejected ones. Equal requests share one object until something changes."""

    ranked: tuple[RankedCandidate, ...]
    rejected: tuple[Rejection, ...]
    ladder_version: int
    policy_id: str


@dataclass(frozen=True)
class StoredSelection:
    """A stored serialised Selection and the digest of its request, which is empty for rows of older versions."""

    serialized: bytes
    request_digest: str


@dataclass(frozen=True, eq=False)
class Decision:
    """One decision, complete and immutable. `chosen` is None when no candidate passed every stage.

    `actor` is the service that called on the subject's behalf, `traceparent` the W3C trace context of the call.
    `ranking` is the result that other decisions may share; None once the budget rejected one of its candidates.
    """

    selection_id: str
    selection_request: SelectionRequest
    subject: Subject
    chosen: Candidate | None
    ranked: tuple[RankedCandidate, ...]
    rejected: tuple[Rejection, ...]
    source: DecisionSource
    reason: str
    policy_id: str
    ladder_version: int
    reservation: BudgetReservation | None
    degradation_level: DegradationLevel
    stale_since: datetime | None
    decided_at: datetime
    elapsed_us: int
    actor: str = ""
    traceparent: str = ""
    ranking: RankingResult | None = field(default=None, repr=False)
