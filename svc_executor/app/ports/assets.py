"""What the executor needs to compare documents, and to erase the texts of assets that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from soma_providers.port import JsonValue
    from svc_executor.domain.documents import DocumentDiff, Revision
    from svc_executor.domain.erasure import ErasedAsset, ErasedTexts
    from svc_executor.domain.task_dsl import Task


class Differ(Protocol):
    """Compares revisions."""

    async def __call__(self, tenant_id: str, old: Revision, new: Revision) -> DocumentDiff:
        """Compose both and compare them; raises FAILED_PRECONDITION, OVERLOADED, DEADLINE_EXCEEDED."""


class AssetTexts(Protocol):
    """What jobs keep of the content of their assets, within one transaction."""

    async def mark(self, asset: ErasedAsset, now: datetime) -> None:
        """Note that the asset is gone. Where jobs may keep a text of it, it is due at `now`, and `Erasures.wait` ends.

        No text can be recorded with the asset once this transaction has ended.
        """

    async def next_jobs(self, asset: ErasedAsset, after: str, limit: int) -> Sequence[str]:
        """So many jobs at most that may keep a text of the asset, with ids above `after` (empty: all), in order."""

    async def lock_jobs(self, job_ids: Sequence[str]) -> None:
        """Hold off other changes of these jobs until the transaction ends."""

    async def erase(self, job_id: str, asset_id: str) -> ErasedTexts:
        """Remove the texts of the steps and attempts of a job that have the asset."""

    async def tasks(self, job_id: str, step_ids: Collection[str]) -> Sequence[Task]:
        """The tasks of a job that depend on any of these steps."""

    async def replace_inputs(
        self, job_id: str, step_id: str, params: Mapping[str, JsonValue], prompt: str, *, ended_only: bool
    ) -> None:
        """Replace what the attempts of a step were asked; with `ended_only` those that still run keep theirs."""

    async def forget_jobs(self, asset: ErasedAsset, job_ids: Sequence[str], due: datetime) -> None:
        """Note that these jobs keep no text of the asset any more. If others do, the asset is due again at `due`."""


class Erasures(Protocol):
    """The erasures that have not reached every job yet, of all tenants."""

    async def claim(self, now: datetime, until: datetime) -> ErasedAsset | None:
        """The asset that has been due longest, if there is one; nobody else is given it before `until`."""

    async def postpone(self, asset: ErasedAsset, due: datetime) -> None:
        """Make the asset due again at a moment, if jobs may still keep a text of it."""

    def texts(self, tenant_id: str) -> AbstractAsyncContextManager[AssetTexts]:
        """What the jobs of a tenant keep, in a transaction."""

    async def unfinished(self, limit: int) -> int:
        """Of how many assets jobs may still keep a text; counts no further than `limit`."""

    async def wait(self, seconds: float) -> bool:
        """Wait until an asset may have been marked since the last wait, or the time is over: then False."""
