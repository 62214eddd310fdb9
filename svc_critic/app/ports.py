"""What the critic needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.idempotency import RequestKey
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext, Kind
    from svc_critic.domain.erasure import ErasedAsset
    from svc_critic.domain.evaluation import Evaluation, Listing
    from svc_critic.domain.judgement import Measurement
    from svc_critic.domain.rubric import Rubric


@dataclass(frozen=True)
class EvaluatorResult:
    """What an evaluator found."""

    measurements: tuple[Measurement, ...]
    cost_micro_usd: int = 0


class Evaluator(Protocol):
    """Looks at assets of some kinds. `name` tells how, for example "heuristics/image"."""

    name: str
    kinds: frozenset[Kind]

    async def examine(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures; bytes that are not what they should be are a finding, not an error.

        FAILED_PRECONDITION for an asset that cannot be measured within the limits, OVERLOADED when too many of the
        tenant's wait.
        """


class AssetReader(Protocol):
    """Reads assets as the caller of the current request."""

    async def read(self, asset_id: str) -> EvaluatedAsset:
        """NOT_FOUND when there is none, FAILED_PRECONDITION when it was erased, PAYLOAD_TOO_LARGE past the limit."""


class Rubrics(Protocol):
    """Rubrics of tenants. The platform's are not kept here."""

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """One of the tenant's."""

    async def default(self, tenant_id: str, asset_type: str) -> Rubric | None:
        """The tenant's default for this asset type, else its default for any."""

    async def list(self, tenant_id: str, asset_type: str, after: str, size: int) -> Sequence[Rubric]:
        """The tenant's with ids above `after`, in their order; `asset_type` empty: all."""

    async def save(self, tenant_id: str, rubric: Rubric, expected_version: int, key: RequestKey) -> Rubric | None:
        """Writes the rubric when the stored version is the expected one (0: none is stored); else None.

        A race that was lost also gives None. A new default takes that role from the one before, in the same
        transaction. A request id seen before changes nothing and gives the rubric it wrote, as it is now,
        NOT_FOUND when it was deleted since; IDEMPOTENCY_MISMATCH when it was used for another request.
        """

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric | None:
        """Removes a rubric and gives what it was."""


class Evaluations(Protocol):
    """Evaluations of tenants."""

    async def by_request(self, tenant_id: str, key: RequestKey) -> Evaluation | None:
        """What this request id recorded; IDEMPOTENCY_MISMATCH when it was used for another request."""

    async def record(self, evaluation: Evaluation, key: RequestKey) -> Evaluation:
        """Keeps the evaluation with its event, in one transaction; the first one when the request id was used.

        Of an asset that was erased meanwhile, the evaluation is kept without what it may quote.
        """

    async def get(self, tenant_id: str, evaluation_id: str) -> Evaluation | None:
        """One of the tenant's."""

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Evaluation]:
        """Evaluations, newest first."""


class Meter(Protocol):
    """Counts verdicts."""

    def judged(self, evaluation: Evaluation, kind: Kind) -> None:
        """Takes in one new evaluation."""


class ErasureMarks(Protocol):
    """The assets that are gone, within one transaction."""

    async def mark(self, asset: ErasedAsset, erased_at: datetime, due: datetime) -> None:
        """Note that the asset is gone; if there are verdicts on it, they are due at `due`.

        No verdict that quotes the asset can be recorded once this transaction has ended. Safe to repeat.
        """


class Erasures(Protocol):
    """The erasures that have not reached every verdict yet, of all tenants."""

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        """The asset that has been due longest, if there is one; nobody else is given it before `until`."""

    async def erase_next(self, asset: ErasedAsset, limit: int, due: datetime) -> None:
        """Remove from the next `limit` verdicts on the asset what they may quote of it.

        If there may be others, the asset is due again at `due`.
        """

    async def unfinished(self, most: int) -> int:
        """How many erased assets verdicts may still quote; counts no further than `most`."""


class ErasureMeter(Protocol):
    """Shows operators what is left to be erased."""

    def unfinished_erasures(self, number: int) -> None:
        """Takes in how many erased assets verdicts may still quote."""
