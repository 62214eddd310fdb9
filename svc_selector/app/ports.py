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
    from svc_selector.domain.decision import BudgetReservation, Decision, JudgementResult, Recorded
    from svc_selector.domain.model import Candidate, Ladder, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions


class Candidates(Protocol):
    """The registry's capabilities, in memory."""

    @property
    def stale_since(self) -> datetime | None:
        """Since when the registry cannot be heard; None while it is."""

    @property
    def loaded(self) -> bool:
        """True once a whole snapshot was received."""

    def version(self, tenant_id: str, modality: str, task_type: str) -> int:
        """Grows with every change of what a tenant is offered for a task type, and of its ladders."""

    def of(self, tenant_id: str, modality: str, task_type: str) -> Mapping[str, Candidate]:
        """What a tenant is offered for a task type of a modality, by id; for all task types where it is ""."""

    def ladder(self, tenant_id: str, modality: str, task_type: str) -> Ladder:
        """The ladder in force for a tenant."""


@dataclass(frozen=True)
class Denial:
    """Why policy denies a candidate."""

    code: str
    reason: str


@dataclass(frozen=True)
class Verdicts:
    """Denials by capability id, empty for an allowed one, and the policy that gave them.

    A candidate without an entry is denied.
    """

    policy_id: str
    denials: Mapping[str, Sequence[Denial]]


class Policy(Protocol):
    """Policy over all candidates at once."""

    @property
    def fixed(self) -> bool:
        """Whether equal requests get equal verdicts for as long as this object lives."""

    async def verdicts(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        permissions: Permissions,
        candidates: Sequence[Candidate],
        costs: Mapping[str, int],
    ) -> Verdicts:
        """The verdicts on all candidates, in one evaluation. DEPENDENCY_UNAVAILABLE when policy cannot be asked."""


class CallerPermissions(Protocol):
    """What callers may use."""

    async def of(self, tenant_id: str, key_id: str) -> Permissions:
        """The permissions of the caller being served, who has this tenant and key.

        DEPENDENCY_UNAVAILABLE when they are not known, UNAUTHENTICATED when the key is not.
        """


class Degradation(Protocol):
    """The state of the mesh."""

    @property
    def level(self) -> DegradationLevel:
        """How degraded the mesh is; UNKNOWN while nobody says."""


class Ledger(Protocol):
    """Budgets and reservations; settled + reserved never passes a cap."""

    async def reserve(
        self, tenant_id: str, modality: str, amount_micro_usd: int, ttl: timedelta, decision: Decision | None
    ) -> BudgetReservation | None:
        """Holds an amount under the overall cap and the modality's, with the decision in one transaction.

        The prices of the chosen capability are kept with it, for its settlement. None when a cap does not bear the
        amount; then nothing was written.
        """

    async def renew(self, tenant_id: str, reservation_id: str, ttl: timedelta) -> Reservation:
        """Holds a reservation for `ttl` from now on; one that has lapsed is held again.

        BUDGET_EXCEEDED when a cap does not bear that, FAILED_PRECONDITION for one that was settled or released,
        NOT_FOUND for an unknown one.
        """

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        """Books the true cost, up to the cap, also of one that has lapsed or was released. Idempotent.

        Where no prices were kept with it, units cost what was reserved.

        NOT_FOUND for an unknown one.
        """

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        """Gives a reservation back. Idempotent. NOT_FOUND for an unknown one."""

    async def expire(self) -> int:
        """Frees what lapsed; answers how many reservations."""

    async def budgets(self, tenant_id: str) -> Sequence[Budget]:
        """Caps and spending of the current month, the overall one first."""

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        """Sets a cap; a repeat under the same key changes nothing and is answered as the first time.

        IDEMPOTENCY_MISMATCH when the id of the key stands for another request.
        """


class Decisions(Protocol):
    """Past decisions."""

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Writes decisions of any tenants and their events; one that is there already is left as it is.

        Waits for no tenant's share of the store, so that the calls of one do not hold up the decisions of others.
        """

    async def record_one(self, decision: Decision) -> None:
        """Writes a decision that its call waits for; waits for the share of its tenant."""

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        """The document of one decision."""

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """The decision that a request id made."""

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        """Documents, newest first, those with ids below `before` where it is given."""


class Selections(Protocol):
    """The use cases, as they are served and wrapped."""

    async def select(self, selection_request: SelectionRequest, subject: Subject) -> Decision:
        """Chooses."""

    async def find(self, selection_request: SelectionRequest, subject: Subject) -> JudgementResult:
        """Judges without choosing."""

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        """The document of a past decision."""

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """The decision that a request id made before."""

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        """Documents of past decisions, newest first."""
