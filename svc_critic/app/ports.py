"""Ports of the critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.idempotency import RequestKey
    from svc_critic.domain.asset import AssetKind, EvaluatedAsset, EvaluationContext
    from svc_critic.domain.erasure import ErasedAsset
    from svc_critic.domain.evaluation import Evaluation, ListQuery
    from svc_critic.domain.rubric import Rubric
    from svc_critic.domain.scoring import Measurement


@dataclass(frozen=True)
class EvaluatorResult:
    """The measurements of an evaluator, and what they cost."""

    measurements: tuple[Measurement, ...]
    cost_micro_usd: int = 0


class Evaluator(Protocol):
    """Measures assets of some kinds. `name` identifies the method, for example "heuristics/image"."""

    name: str
    kinds: frozenset[AssetKind]

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures an asset. Bytes that cannot be decoded give measurements with a score of 0, not an error.

        FAILED_PRECONDITION for an asset that cannot be measured within the limits, OVERLOADED when too many assets
        of the tenant wait.
        """


class AssetReader(Protocol):
    """Reads assets as the caller of the current request."""

    async def read(self, asset_id: str) -> EvaluatedAsset:
        """Returns an asset with its bytes.

        NOT_FOUND when there is none, FAILED_PRECONDITION when it was erased, PAYLOAD_TOO_LARGE above the limit.
        """


class RubricStore(Protocol):
    """The rubrics of tenants; those of the platform are in `domain.rubric`."""

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Returns a rubric of the tenant."""

    async def get_default(self, tenant_id: str, asset_type: str) -> Rubric | None:
        """Returns the tenant's default for this asset type, else its default for any."""

    async def list(self, tenant_id: str, asset_type: str, after: str, limit: int) -> Sequence[Rubric]:
        """Returns the tenant's rubrics with ids above `after`, by id; `asset_type` empty: of all types."""

    async def save(self, tenant_id: str, rubric: Rubric, expected_version: int, key: RequestKey) -> Rubric | None:
        """Saves the rubric if the stored version is the expected one (0: none is stored); else returns None.

        Also returns None when a concurrent call wrote first. A new default replaces the earlier one in the same
        transaction. A repeated request id changes nothing and returns the rubric that it wrote, as it is now;
        NOT_FOUND when that was deleted since then, IDEMPOTENCY_MISMATCH when the id was used for another request.
        """

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Deletes a rubric; returns what it was."""


class EvaluationStore(Protocol):
    """The evaluations of tenants."""

    async def get_by_request(self, tenant_id: str, key: RequestKey) -> Evaluation | None:
        """Returns the evaluation of a request id; IDEMPOTENCY_MISMATCH when it was used for another request."""

    async def record(self, evaluation: Evaluation, key: RequestKey) -> Evaluation:
        """Inserts the evaluation with its event, in one transaction; returns the first one of its request id.

        When the asset was erased meanwhile, the evaluation is inserted without quotes of it.
        """

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation | None:
        """Returns an evaluation of the tenant."""

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Evaluation]:
        """Returns evaluations, newest first."""


class EvaluationMetrics(Protocol):
    """Metrics of evaluations."""

    def record_evaluation(self, evaluation: Evaluation, kind: AssetKind) -> None:
        """Counts a new evaluation."""


class ErasureMarks(Protocol):
    """The marks of erased assets, within one transaction."""

    async def mark(self, asset: ErasedAsset, erased_at: datetime, due_at: datetime) -> None:
        """Marks an asset as erased. If it has evaluations, the removal of their quotes is due at `due_at`.

        Once this transaction has ended, no evaluation with quotes of the asset can be inserted. Idempotent.
        """


class PendingErasures(Protocol):
    """The erased assets of all tenants of which evaluations may still have quotes."""

    async def claim(self, now: datetime, next_claim_at: datetime) -> ErasedAsset | None:
        """Returns the asset that has been due longest, if any. It cannot be claimed again before `next_claim_at`."""

    async def erase_next(self, asset: ErasedAsset, limit: int, due_at: datetime) -> None:
        """Removes quotes of the asset from its next `limit` evaluations.

        If there may be more evaluations, the asset is due again at `due_at`.
        """

    async def count_unfinished(self, limit: int) -> int:
        """Returns how many assets are left, at most `limit`."""


class ErasureMetrics(Protocol):
    """Metrics of erasures."""

    def set_unfinished_erasures(self, count: int) -> None:
        """Sets the gauge of erased assets of which evaluations may still have quotes."""
