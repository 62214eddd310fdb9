"""The port to child processes: what an adapter asks for whose work would hold the interpreter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True)
class Capacity:
    """How many invocations run at once: `slots` in all, `per_tenant` for one tenant.

    Tenants whose use of processor time is heavy leave `reserved` of the slots to the others.
    """

    slots: int
    per_tenant: int
    reserved: int = 0


class Pool(Protocol):
    """Child processes of one adapter, which tenants share fairly."""

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, tenant_id: str, time_s: float) -> T:
        """Call a module-level function in a child process, which is killed after `time_s` seconds of work.

        Arguments and result are pickled; the function's module must import little. Raises what the function raised;
        ProviderError with the caller's fault when it took too long or too much memory.
        """


class Processes(Protocol):
    """Makes pools. `capacity` is that of each of them."""

    capacity: Capacity

    def pool(self, name: str, *, memory_mb: int = 512) -> Pool:
        """A pool whose children may allocate so much each; they start with the first calls and end when idle."""
