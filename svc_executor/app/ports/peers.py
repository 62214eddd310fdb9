"""What the executor needs of the other contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_providers.port import InputArtefact, Manifest, Usage
    from svc_executor.domain.peers import (
        AssetInfo,
        Evaluation,
        EvaluationRequest,
        HealthReport,
        RegisteredCapability,
        Selection,
        SelectionRequest,
        Upload,
    )


class Selector(Protocol):
    """Chooses capabilities and keeps the budget."""

    async def select(self, request: SelectionRequest) -> Selection:
        """Choose; the same request_id gives the same selection. Raises NO_CAPABLE_CAPABILITY, BUDGET_EXCEEDED."""

    async def renew(self, reservation_id: str) -> None:
        """Hold a reservation for its full time again. Raises BUDGET_EXCEEDED when it lapsed and no budget is left."""

    async def settle(self, reservation_id: str, usage: Usage | None) -> int:
        """Book what a call used, all that was reserved where that is not known (None).

        Gives the true cost in millionths of a US dollar. Idempotent: a repeat gives what was booked the first time.
        """

    async def release(self, reservation_id: str) -> None:
        """Give a reservation back; idempotent."""


class Assets(Protocol):
    """Stores and reads bytes."""

    async def store(self, upload: Upload) -> str:
        """Store an artefact and give its asset id; the same request_id stores once."""

    async def describe(self, asset_id: str) -> AssetInfo:
        """What an asset is, before its bytes are read; NOT_FOUND when it is gone."""

    async def load(self, asset: AssetInfo) -> InputArtefact:
        """Read an asset whole; NOT_FOUND or FAILED_PRECONDITION when it is gone meanwhile."""

    async def release(self, asset_id: str, job_id: str, reason: str) -> None:
        """Give up what a job holds of an asset; nobody's bytes are erased. Idempotent, also for what is gone."""

    async def list_held(self, job_id: str) -> list[str]:
        """Ids of the readable assets that a job holds: without a hold their bytes may go at any time."""


class Critic(Protocol):
    """Evaluates results."""

    async def evaluate(self, evaluation_request: EvaluationRequest) -> Evaluation:
        """Evaluate; the same request_id gives the same evaluation."""


class Registry(Protocol):
    """Knows the capabilities."""

    async def register(self, manifest: Manifest) -> None:
        """Add a capability, or replace what an earlier start registered."""

    async def list_by_adapter(self, adapter: str) -> Sequence[RegisteredCapability]:
        """The capabilities that an adapter serves, whoever registered them."""

    async def report_health(self, report: HealthReport) -> None:
        """Tell how a capability fares."""
