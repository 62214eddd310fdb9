"""What the registry needs from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from svc_registry.domain.model import Capability, Health, HealthState, Kind, Ladder, LadderKey, Modality

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


class Store(Protocol):
    """Keeps capabilities and ladders; the truth behind every catalogue."""

    async def capabilities(self) -> Sequence[Capability]:
        """All of them, any tenant's."""

    async def ladders(self) -> Sequence[Ladder]:
        """All of them, any tenant's."""

    async def capability(self, capability_id: str) -> Capability | None:
        """One, as it is now."""

    async def ladder(self, tenant_id: str, key: LadderKey) -> Ladder | None:
        """One, as it is now; exactly that tenant's."""

    async def save_capability(self, capability: Capability, expected_version: int, subject: str) -> bool:
        """Writes it and its event when the stored version is `expected_version` (0: absent); False otherwise."""

    async def save_health(self, capability_id: str, health: Health, action: str) -> bool:
        """Writes health alone, audited as `action` unless that is empty; False when the capability is absent."""

    async def save_ladder(self, ladder: Ladder, expected_version: int) -> bool:
        """Writes it when the stored version is `expected_version` (0: absent); False otherwise."""

    async def replayed(self, tenant_id: str, request_id: str, digest: str) -> str | None:
        """The capability id an earlier call with this request id wrote; CONFLICT error for another digest."""

    async def remember(self, tenant_id: str, request_id: str, digest: str, capability_id: str) -> None:
        """Keeps what a request id wrote."""


class ChangeFeed(Protocol):
    """Tells when something changed, in any process."""

    def listen(
        self, on_change: Callable[[str, str], None], on_reset: Callable[[], None]
    ) -> AbstractAsyncContextManager[None]:
        """Calls `on_change(kind, id)` after each committed change and `on_reset()` when changes may have been missed.

        `kind` is "capability" (id: capability id) or "ladder" (id: "<tenant>/<modality>/<task_type>").
        """
