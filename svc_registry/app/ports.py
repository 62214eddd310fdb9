"""What the registry needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mesh.idempotency import NO_KEY, RequestKey
from svc_registry.domain.model import Capability, CapabilityKey, Ladder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from svc_registry.domain.model import Health, HealthState, Kind, LadderKey, Modality

T = TypeVar("T")


@dataclass(frozen=True)
class CapabilityFilter:
    """Which capabilities to list; None or empty means any."""

    modality: Modality | None = None
    task_type: str = ""
    kind: Kind | None = None
    provider: str = ""
    health_state: HealthState | None = None
    adapter: str = ""
    include_disabled: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page; `next_token` is empty at the end."""

    items: Sequence[T]
    next_token: str = ""


@dataclass(frozen=True)
class OwnedLadderKey:
    """Whose ladder it is (PLATFORM or a tenant), and what for."""

    tenant_id: str
    key: LadderKey


ChangedKey = CapabilityKey | OwnedLadderKey
"""What a change is of."""


@dataclass(frozen=True)
class Quotas:
    """How many capabilities and ladders of its own a tenant may have."""

    capabilities: int = 200
    ladders: int = 200


@dataclass(frozen=True)
class Request:
    """What makes a call idempotent: who made it, and its key."""

    tenant_id: str
    key: RequestKey = NO_KEY


class Store(Protocol):
    """Keeps capabilities and ladders; the truth behind every catalogue.

    What concerns one tenant is read and written in its name: another's rows do not exist then.
    """

    def capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """All of them, any tenant's, the deleted ones too, in pages."""

    def ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        """All of them, any tenant's, in pages."""

    async def capability(self, key: CapabilityKey) -> Capability | None:
        """One, as it is now, deleted or not; None when there is no record of it."""

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now; exactly that tenant's."""

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        """Writes it, its event and the request when the stored version is `expected_version` (0: absent).

        False otherwise, and when the request was kept meanwhile. Health is not written: that of a new capability is
        unknown, that of an old one stays.
        FAILED_PRECONDITION when its tenant would have more than its quota.
        """

    async def change_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audited: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        """Applies a change to the health as it is at this moment, so that of several at once none is lost.

        The request is kept with the change; one that was made before changes nothing, and the capability is given as it
        is now.

        Audited as what `audited` says of before and after, unless that is empty. None when the capability is absent or
        deleted.
        """

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        """Writes it and the request when the stored version is `expected_version` (0: absent).

        False otherwise, and when the request was kept meanwhile.

        FAILED_PRECONDITION when its tenant would have more than its quota.
        """

    async def replayed(self, request: Request) -> str | None:
        """The name of what an earlier call of this request wrote; IDEMPOTENCY_MISMATCH for another request."""

    async def remember(self, request: Request, name: str) -> None:
        """Keeps the name of what a request wrote or found written, unless it has no id."""


class ChangeFeed(Protocol):
    """Tells when something changed, in any process."""

    def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Calls `on_change` after each committed change and `on_reset()` when changes may have been missed."""
