"""What the record needs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from svc_provenance.domain.model import (
        AssetFacts,
        CreationFacts,
        EvaluationSummary,
        Fact,
        Provenance,
        Transaction,
    )


class Record(Protocol):
    """Keeps facts and provenance. Writes belong to the unit of the event they come from."""

    async def add_fact(self, unit: Transaction, tenant_id: str, fact: Fact, *, replaces: bool = True) -> None:
        """Keeps a fact. In the place of an earlier one of its id it is kept when its sequence is not lower.

        One without a sequence replaces what is there because it arrived later, unless `replaces` says that it is late.
        """

    async def add_asset(self, unit: Transaction, tenant_id: str, facts: AssetFacts) -> None:
        """Keeps what an asset's event says; the first word on an asset holds."""

    async def add_creation(
        self, unit: Transaction, tenant_id: str, asset_ids: Sequence[str], facts: CreationFacts
    ) -> None:
        """Keeps what the attempt that made assets says; of each, the first one holds."""

    async def add_verdict(self, unit: Transaction, tenant_id: str, asset_id: str, verdict: EvaluationSummary) -> None:
        """Keeps a verdict on an asset unless a newer one is there: ids of verdicts (UUIDv7) grow with time."""

    async def erase(self, unit: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        """Takes parameters and prompt out of an erased asset's provenance; the rest stays."""

    async def facts(self, tenant_id: str, job_id: str) -> Sequence[Fact]:
        """All facts of a job."""

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        """One asset's own."""

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        """What an asset was made from, parents before grandparents, each once, within the bounds of a lineage."""
