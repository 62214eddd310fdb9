"""Decisions: what was chosen, in which order, and what was left out for which reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from mesh.degradation import DegradationLevel
    from svc_selector.domain.model import Candidate, Judgement, SelectionRequest, Source, Subject


@dataclass(frozen=True)
class Rejection:
    """A candidate that was left out: by which judgement, with a code for programs and a sentence for people.

    `needed` and `limit` are what the sentence says of a limit, in the unit that the code implies, and `cost_micro_usd`
    what the budget does not bear; None where the code is about something else.
    """

    capability_id: str
    judgement: Judgement
    code: str
    reason: str
    needed: float | None = None
    limit: float | None = None
    cost_micro_usd: int | None = None


@dataclass(frozen=True)
class Ranked:
    """A candidate that could be chosen, at its place (from 1); `preferred` by the user, `forced` by the caller."""

    candidate: Candidate
    rank: int
    ladder_position: int
    cost_micro_usd: int
    reason: str
    preferred: bool = False
    forced: bool = False


@dataclass(frozen=True)
class BudgetReservation:
    """A reservation; `remaining_micro_usd` is what the tightest cap has left afterwards."""

    reservation_id: str
    amount_micro_usd: int
    remaining_micro_usd: int
    expires_at: datetime


@dataclass(frozen=True, eq=False)
class JudgementResult:
    """What the judgements left and what they left out. Equal requests on an unchanged mesh share one object."""

    ranked: tuple[Ranked, ...]
    rejected: tuple[Rejection, ...]
    ladder_version: int
    policy_id: str


@dataclass(frozen=True)
class Recorded:
    """A past decision as stored, and the digest of the request that made it; empty for those of older versions."""

    document: bytes
    request_digest: str


@dataclass(frozen=True, eq=False)
class Decision:
    """One decision, complete and immutable. `chosen` is None when nothing was left.

    `actor` is a service that asked on the subject's behalf, `traceparent` the W3C trace of the call.
    `judged` is what it follows from, as long as the budget changed nothing of it: what is written of equal decisions
    is then the same.
    """

    selection_id: str
    selection_request: SelectionRequest
    subject: Subject
    chosen: Candidate | None
    ranked: tuple[Ranked, ...]
    rejected: tuple[Rejection, ...]
    source: Source
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
    judged: JudgementResult | None = field(default=None, repr=False)
