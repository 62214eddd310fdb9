"""The ports of the registry: its store, and the feed of changes in it."""

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
    """One page of a list; `next_token` is empty on the last one."""

    items: Sequence[T]
    next_token: str = ""


@dataclass(frozen=True)
class OwnedLadderKey:
    """The identity of a ladder: its owner (PLATFORM or a tenant), and what it is for."""

    tenant_id: str
    key: LadderKey


ChangedKey = CapabilityKey | OwnedLadderKey
"""The key of what changed."""


@dataclass(frozen=True)
class Quotas:
    """The most capabilities and ladders that a tenant may own."""

    capabilities: int = 200
    ladders: int = 200


@dataclass(frozen=True)
class Request:
    """The idempotency key of a call, with the tenant within which it is unique."""

    tenant_id: str
    key: RequestKey = NO_KEY


class Store(Protocol):
    """Stores capabilities and ladders; every catalog is read from it.

    An operation on one tenant runs under row-level security of that tenant: no row of another is visible.
    """

    def list_capabilities(self) -> AsyncIterator[Sequence[Capability]]:
        """Returns the capabilities of all owners in pages, deleted ones included."""

    def list_ladders(self) -> AsyncIterator[Sequence[Ladder]]:
        """Returns the ladders of all owners in pages."""

    async def get_capability(self, key: CapabilityKey) -> Capability | None:
        """Returns a capability, also a deleted one; None when there is no record of it."""

    async def get_ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """Returns the ladder that this tenant owns; None when it owns none."""

    async def save_capability(
        self, capability: Capability, expected_version: int, subject: str, request: Request | None = None
    ) -> bool:
        """Writes a capability, its event and the request when the stored version is `expected_version` (0: absent).

        Returns False otherwise, and when the request has been saved by a concurrent call. Health is not written: it is
        unknown in a new capability and unchanged in an existing one.
        FAILED_PRECONDITION when its tenant would exceed its quota.
        """

    async def update_health(
        self,
        key: CapabilityKey,
        change: Callable[[Health], Health],
        audit_action: Callable[[Health, Health], str],
        request: Request | None = None,
    ) -> Capability | None:
        """Applies a change to the stored health while its row is locked, so that no concurrent change is lost.

        Saves the request with the change; a repeated one changes nothing and returns the capability as it is stored.

        `audit_action` returns the action of the audit event, from the health before and after; there is no audit event
        when it is empty. Returns None when the capability does not exist or is deleted.
        """

    async def save_ladder(self, ladder: Ladder, expected_version: int, request: Request | None = None) -> bool:
        """Writes a ladder and the request when the stored version is `expected_version` (0: absent).

        Returns False otherwise, and when the request has been saved by a concurrent call.

        FAILED_PRECONDITION when its tenant would exceed its quota.
        """

    async def find_result(self, request: Request) -> str | None:
        """Returns the name of what this request wrote before, or None; IDEMPOTENCY_MISMATCH for another request."""

    async def save_result(self, request: Request, written: str) -> None:
        """Saves the name of what a request wrote or found written, unless the request has no id."""


class ChangeFeed(Protocol):
    """Notifies of the changes that any process commits to the store."""

    def listen(
        self, on_change: Callable[[ChangedKey], None], on_reset: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Calls `on_change` after each committed change and `on_reset()` when changes may have been missed."""
