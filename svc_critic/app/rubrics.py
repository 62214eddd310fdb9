"""Rubrics as resources: the platform's, which nobody changes, and the tenants' own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_critic.domain.rubric import DEFAULT_PREFIX, builtin, builtins, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_critic.app.ports import Rubrics
    from svc_critic.domain.evaluation import RubricChoice
    from svc_critic.domain.rubric import Rubric

TRIES = 3


class RubricUseCases:
    """Reads, writes and chooses rubrics."""

    def __init__(self, rubrics: Rubrics, clock: Clock, ids: Ids) -> None:
        self._rubrics = rubrics
        self._clock = clock
        self._ids = ids

    async def choose(self, tenant_id: str, choice: RubricChoice, asset_type: str) -> Rubric:
        """The rubric to judge by: written in the request, named in it, the tenant's default, the platform's."""
        if choice.written is not None:
            check(choice.written)
            return replace(choice.written, rubric_id="", version=0)
        if choice.rubric_id:
            return await self.get(tenant_id, choice.rubric_id)
        return await self._rubrics.default(tenant_id, asset_type) or builtin(asset_type)

    async def get(self, tenant_id: str, rubric_id: str) -> Rubric:
        """One rubric that the tenant may see."""
        if rubric_id.startswith(DEFAULT_PREFIX):
            found = next((rubric for rubric in builtins() if rubric.rubric_id == rubric_id), None)
        else:
            found = await self._rubrics.get(tenant_id, rubric_id)
        if found is None:
            raise not_found("rubric", rubric_id)
        return found

    async def list(self, tenant_id: str, asset_type: str, after: str, size: int) -> Sequence[Rubric]:
        """Rubrics with ids above `after`, in their order: the tenant's, then the platform's."""
        own = [] if after.startswith(DEFAULT_PREFIX) else await self._rubrics.list(tenant_id, asset_type, after, size)
        shared = (rubric for rubric in builtins() if rubric.rubric_id > after and asset_type in ("", rubric.asset_type))
        return [*own, *shared][:size]

    async def create(self, tenant_id: str, rubric: Rubric, key: RequestKey = NO_KEY) -> Rubric:
        """Makes a rubric with an id of its own."""
        check(rubric)
        new = replace(rubric, rubric_id=self._ids.new(), version=1, builtin=False, updated_at=self._clock.now())
        made = await self._rubrics.save(tenant_id, new, 0, key)
        if made is None:
            raise SomaError(Reason.CONFLICT, "another rubric took the same id; try again")
        return made

    async def update(self, tenant_id: str, rubric_id: str, rubric: Rubric, key: RequestKey = NO_KEY) -> Rubric:
        """Replaces a rubric.

        STALE_VERSION when it changed since the version that was sent back; version 0 overwrites.
        """
        check(rubric)
        for _ in range(TRIES):
            before = self._own(await self.get(tenant_id, rubric_id))
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
        """Removes a rubric and gives what it was; evaluations keep their figures."""
        self._own(await self.get(tenant_id, rubric_id))
        deleted = await self._rubrics.delete(tenant_id, rubric_id)
        if deleted is None:
            raise not_found("rubric", rubric_id)
        return deleted

    @staticmethod
    def _own(rubric: Rubric) -> Rubric:
        if rubric.builtin:
            text = f"{rubric.rubric_id!r} is the platform's and stays as it is; create a rubric of your own instead"
            raise SomaError(Reason.FAILED_PRECONDITION, text)
        return rubric
