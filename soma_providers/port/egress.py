"""The guarded way out of the mesh, as adapters of providers see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class EgressRequest:
    """One HTTP request to a host that is not ours.

    `max_bytes` caps the answer's body after decompression. Redirects of GET and HEAD are followed `max_redirects`
    times, each judged anew; those of other methods are given back as they are.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    timeout_s: float = 30.0
    max_bytes: int = 32 * 1024 * 1024
    max_redirects: int = 3


@dataclass(frozen=True)
class EgressResponse:
    """The whole answer; header names are lower case, `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    url: str = ""


class EgressFailure(StrEnum):
    """Why nothing came back."""

    REFUSED = "REFUSED"
    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"
    TOO_LARGE = "TOO_LARGE"
    INCOMPLETE = "INCOMPLETE"


class EgressError(Exception):
    """A request that was refused, or whose answer did not arrive whole; text for people."""

    def __init__(self, reason: EgressFailure, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Egress(Protocol):
    """The one guarded way out."""

    async def admit(self, url: str) -> None:
        """Raise EgressError(REFUSED) unless the address may be fetched now."""

    def is_listed(self, host: str) -> bool:
        """Say whether a host is named among those that may be fetched; False where every public one may."""

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """Fetch through the guard, redirects included; raise EgressError."""
