"""What the selector needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.idempotency import NO_KEY, RequestKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from mesh.degradation import DegradationLevel
    from svc_selector.domain.budget import Budget, CallCharge, Reservation
    from svc_selector.domain.decision import BudgetReservation, Decision, RankingResult, StoredSelection
    from svc_selector.domain.model import Candidate, Ladder, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions


class CandidateCatalog(Protocol):
    """The registry's capabilities, in memory."""

    @property
    def stale_since(self) -> datetime | None:
        """Since when the stream of the registry is down; None while it is up."""

    @property
    def loaded(self) -> bool:
        """Whether a complete snapshot was received."""

    def version(self, tenant_id: str, modality: str, task_type: str) -> int:
        """Returns a number that grows with each change of a tenant's candidates for a task type, and of its ladders."""

    def for_task(self, tenant_id: str, modality: str, task_type: str) -> Mapping[str, Candidate]:
        """Returns a tenant's candidates for a task type of a modality, by capability id; for all task types if ""."""

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """Returns the ladder that applies to a tenant."""


@dataclass(frozen=True)
class Denial:
    """Why policy denies a candidate."""

    code: str
    reason: str


@dataclass(frozen=True)
class PolicyDecision:
    """Denials by capability id, empty for an allowed one, and the id of the evaluated policy.

    A candidate without an entry is denied.
    """

    policy_id: str
    denials: Mapping[str, Sequence[Denial]]


class Policy(Protocol):
    """Decides which candidates a request may use."""

    @property
    def is_cacheable(self) -> bool:
        """Whether equal requests get equal decisions for as long as this object lives."""

    async def evaluate(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        permissions: Permissions,
        candidates: Sequence[Candidate],
        costs: Mapping[str, int],
    ) -> PolicyDecision:
        """Returns the decision on all candidates, in one evaluation. DEPENDENCY_UNAVAILABLE when that fails."""


class CallerPermissions(Protocol):
    """What callers may use."""

    async def get(self, tenant_id: str, key_id: str) -> Permissions:
        """Returns the permissions of the current caller, who has this tenant and key.

        DEPENDENCY_UNAVAILABLE when they cannot be read, UNAUTHENTICATED for an unknown key.
        """


class Degradation(Protocol):
    """The degradation of the mesh."""

    @property
    def level(self) -> DegradationLevel:
        """The current level; UNKNOWN while the gateway does not report one."""


class Ledger(Protocol):
    """Budgets and reservations; settled + reserved never exceeds a cap."""

    async def reserve(
        self, tenant_id: str, modality: str, amount_micro_usd: int, ttl: timedelta, decision: Decision | None
    ) -> BudgetReservation | None:
        """Reserves an amount under the overall cap and the modality's, and records the decision, in one transaction.

        Stores the prices of the chosen capability with it, for its settlement. Returns None, and writes nothing, when
        a cap has less left than the amount.
        """

    async def renew(self, tenant_id: str, reservation_id: str, ttl: timedelta) -> Reservation:
        """Sets the expiration of a reservation to `ttl` from now; an expired one is reserved again.

        BUDGET_EXCEEDED when a cap has too little left for that, FAILED_PRECONDITION for one that was settled or
        released, NOT_FOUND for an unknown one.
        """

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        """Books the actual cost, up to the cap, also of a reservation that expired or was released. Idempotent.

        Without stored prices, units cost the reserved amount. NOT_FOUND for an unknown reservation.
        """

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        """Releases a reservation. Idempotent. NOT_FOUND for an unknown one."""

    async def expire_reservations(self) -> int:
        """Frees the amounts of reservations past their expiration; returns how many they were."""

    async def list_budgets(self, tenant_id: str) -> Sequence[Budget]:
        """Returns caps and spending of the current month, the overall one first."""

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        """Sets a cap; a repeat with the same key changes nothing and gets the first answer.

        IDEMPOTENCY_MISMATCH when the request id of the key was used for another request.
        """


class DecisionStore(Protocol):
    """Past decisions."""

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Writes decisions of any tenants, and their events; skips those that are stored already.

        Uses no tenant's share of the connections, so that the calls of one tenant do not delay decisions of others.
        """

    async def record_one(self, decision: Decision) -> None:
        """Writes a decision whose call waits for it, within its tenant's share of the connections."""

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        """Returns the serialised Selection of one decision."""

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        """Returns the selection of an earlier request with this id."""

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        """Returns serialised Selections, newest first; with ids below `before` unless that is ""."""


class SelectorUseCases(Protocol):
    """The use cases, as they are served and instrumented."""

    async def select(self, selection_request: SelectionRequest, subject: Subject) -> Decision:
        """Selects a capability."""

    async def find(self, selection_request: SelectionRequest, subject: Subject) -> RankingResult:
        """Ranks candidates without selecting one."""

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        """Returns the serialised Selection of a past decision."""

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        """Returns the selection of an earlier request with this id."""

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        """Returns serialised Selections of past decisions, newest first."""
