"""Decisions: what was chosen, in which order, and what was left out for which reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from svc_selector.domain.model import Ask, Judgement, Offer, Source, Subject


@dataclass(frozen=True)
class Rejection:
    """An offer that was left out: by which judgement, with a code for programs and a sentence for people."""

    capability_id: str
    judgement: Judgement
    code: str
    reason: str


@dataclass(frozen=True)
class Ranked:
    """An offer that could be chosen, at its place (from 1)."""

    offer: Offer
    rank: int
    ladder_position: int
    cost_micro_usd: int
    reason: str


@dataclass(frozen=True)
class Held:
    """A reservation; `remaining_micro_usd` is what the tightest cap has left afterwards."""

    reservation_id: str
    amount_micro_usd: int
    remaining_micro_usd: int
    expires_at: datetime


@dataclass(frozen=True, eq=False)
class Judged:
    """What the judgements left and what they left out. Equal asks on an unchanged mesh share one object."""

    ranked: tuple[Ranked, ...]
    rejected: tuple[Rejection, ...]
    ladder_version: int
    policy_id: str


@dataclass(frozen=True)
class Recorded:
    """A past decision as stored, and the digest of the request that made it; empty for those of older versions."""

    document: bytes
    request_digest: bytes


@dataclass(frozen=True, eq=False)
class Decision:
    """One decision, complete and immutable. `chosen` is None when nothing was left.

    `actor` is a service that asked on the subject's behalf, `traceparent` the W3C trace of the call.
    `judged` is what it follows from, as long as the budget changed nothing of it: what is written of equal decisions
    is then the same.
    """

    selection_id: str
    ask: Ask
    subject: Subject
    chosen: Offer | None
    ranked: tuple[Ranked, ...]
    rejected: tuple[Rejection, ...]
    source: Source
    reason: str
    policy_id: str
    ladder_version: int
    held: Held | None
    degradation_level: str
    stale_since: datetime | None
    decided_at: datetime
    elapsed_us: int
    actor: str = ""
    traceparent: str = ""
    judged: Judged | None = field(default=None, repr=False)
