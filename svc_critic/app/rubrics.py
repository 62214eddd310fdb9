"""The use cases of rubrics: those of the platform, which cannot be changed, and those of tenants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_critic.domain.rubric import DEFAULT_PREFIX, builtin_rubric, builtin_rubrics, check_rubric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_critic.app.ports import RubricStore
    from svc_critic.domain.evaluation import RubricChoice
    from svc_critic.domain.rubric import Rubric

MAX_ATTEMPTS = 3


class RubricUseCases:
    """Reads, writes and chooses rubrics."""

    def __init__(self, rubrics: RubricStore, clock: Clock, ids: Ids) -> None:
        self._rubrics = rubrics
        self._clock = clock
        self._ids = ids

    async def choose(self, tenant_id: str, choice: RubricChoice, asset_type: str) -> Rubric:
        """Returns the rubric of a request: given inline, by id, or else the tenant's or the platform's default."""
        if choice.inline is not None:
            check_rubric(choice.inline)
            return replace(choice.inline, rubric_id="", version=0)
        if choice.rubric_id:
            return await self.get(tenant_id, choice.rubric_id)
        return await self._rubrics.get_default(tenant_id, asset_type) or builtin_rubric(asset_type)

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric:
        """Returns a rubric of the tenant or the platform."""
        if rubric_id.startswith(DEFAULT_PREFIX):
            rubric = next((builtin for builtin in builtin_rubrics() if builtin.rubric_id == rubric_id), None)
        else:
            rubric = await self._rubrics.get(tenant_id, rubric_id)
        if rubric is None:
            raise not_found("rubric", rubric_id)
        return rubric

    async def list(self, tenant_id: str, asset_type: str, after: str, limit: int) -> Sequence[Rubric]:
        """Returns rubrics with ids above `after`, in their order: the tenant's, then the platform's."""
        own = [] if after.startswith(DEFAULT_PREFIX) else await self._rubrics.list(tenant_id, asset_type, after, limit)
        builtin = (
            rubric for rubric in builtin_rubrics() if rubric.rubric_id > after and asset_type in ("", rubric.asset_type)
        )
        return [*own, *builtin][:limit]

    async def create(self, tenant_id: str, rubric: Rubric, key: RequestKey = NO_KEY) -> Rubric:
        """Creates a rubric with a new id."""
        check_rubric(rubric)
        new = replace(rubric, rubric_id=self._ids.new(), version=1, builtin=False, updated_at=self._clock.now())
        created = await self._rubrics.save(tenant_id, new, 0, key)
        if created is None:
            raise SomaError(Reason.CONFLICT, "another rubric took the same id; try again")
        return created

    async def update(self, tenant_id: str, rubric_id: str, rubric: Rubric, key: RequestKey = NO_KEY) -> Rubric:
        """Replaces a rubric.

        STALE_VERSION when it changed since the version that was sent back; version 0 overwrites.
        """
        check_rubric(rubric)
        for _ in range(MAX_ATTEMPTS):
            before = self._require_own(await self.get(tenant_id, rubric_id))
            expected = rubric.version or before.version
            new = replace(
                rubric,
                rubric_id=rubric_id,
                version=expected + 1,
                builtin=False,
                updated_at=self._clock.now(),
            )
            saved = await self._rubrics.save(tenant_id, new, expected, key)
            if saved is not None:
                return saved
            if rubric.version:
                text = f"the rubric is at version {before.version}, not {rubric.version}; read it and try again"
                raise SomaError(Reason.STALE_VERSION, text)
        raise SomaError(Reason.CONFLICT, "the rubric is being changed by others; read it and try again")

    async def delete(self, tenant_id: str, rubric_id: str) -> Rubric:
        """Deletes a rubric and returns what it was; evaluations by it do not change."""
        self._require_own(await self.get(tenant_id, rubric_id))
        deleted = await self._rubrics.delete(tenant_id, rubric_id)
        if deleted is None:
            raise not_found("rubric", rubric_id)
        return deleted

    @staticmethod
    def _require_own(rubric: Rubric) -> Rubric:
        if rubric.builtin:
            text = f"{rubric.rubric_id!r} is the platform's and stays as it is; create a rubric of your own instead"
            raise SomaError(Reason.FAILED_PRECONDITION, text)
        return rubric
