"""Measurements in child processes, since parsing and drawing hold the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from mesh.errors import Reason, SomaError
from mesh.processes import ProcessEndedError, ResourceLimitError, TimeLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.processes import ProcessPool

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class MeasurementPool:
    """Runs measurements of assets within the limits of a process."""

    def __init__(self, pool: ProcessPool) -> None:
        self._pool = pool

    async def run(self, tenant_id: str, measure: Callable[[*Ts], R], *args: *Ts) -> R:
        """Returns the result of `measure`; FAILED_PRECONDITION when it exceeds the limits, or crashes its process.

        A retry cannot succeed: the same asset would exceed them again.
        """
        try:
            return await self._pool.run(measure, *args, tenant_id=tenant_id)
        except (TimeLimitError, ResourceLimitError, ProcessEndedError) as error:
            raise SomaError(Reason.FAILED_PRECONDITION, f"the asset is too complex to be judged: {error}") from error
