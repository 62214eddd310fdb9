"""The key ids that must be refused, as the gateway streams them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from mesh.errors import SomaError
from mesh.logging import get_logger
from mesh.rpc.wellknown import moment

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Sequence
    from datetime import datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    from mesh.clock import Clock

PAUSE_S = 0.2

_log = get_logger(__name__)


class Revocation(Protocol):
    """What is used of `soma.gateway.v1.Revocation`."""

    @property
    def key_id(self) -> str:
        """The key."""

    @property
    def expire_time(self) -> Timestamp:
        """When the key would have expired."""


class Revocations(Protocol):
    """What is used of `soma.gateway.v1.WatchRevocationsResponse`."""

    @property
    def snapshot(self) -> bool:
        """Whether it replaces all that was known."""

    @property
    def revocations(self) -> Sequence[Revocation]:
        """Revoked keys."""


Watch: TypeAlias = "Callable[[], AsyncIterable[Revocations]]"
"""Opens the gateway's stream."""


class RevokedKeys:
    """Says whether a key is revoked. While the gateway is away, what was heard last holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, datetime | None] = {}

    def __call__(self, key_id: str) -> bool:
        """Whether the key is revoked."""
        return key_id in self._until

    async def follow(self, watch: Watch) -> None:
        """Follows the stream for ever, opening it again after each cut."""
        heard = True
        while True:
            try:
                async for message in watch():
                    self._take(message)
                    heard = True
            except SomaError as error:
                if heard:
                    _log.warning("revocations are not heard", reason=error.reason.value)
                heard = False
            await self._clock.sleep(PAUSE_S)

    def _take(self, message: Revocations) -> None:
        heard = {item.key_id: moment(item.expire_time) for item in message.revocations}
        now = self._clock.now()
        kept = (
            {} if message.snapshot else {k: until for k, until in self._until.items() if until is None or until > now}
        )
        self._until = {**kept, **heard}
