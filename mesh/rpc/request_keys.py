"""The key of a request that makes it idempotent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from mesh.idempotency import NO_KEY, RequestKey

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

LARGE_BYTES = 16 * 1024
"""A larger message is written and hashed in a thread."""


class IdempotentRequest(Protocol):
    """A message with the field `request_id`."""

    DESCRIPTOR: Descriptor

    @property
    def request_id(self) -> str:
        """What the caller chose; empty when it chose nothing."""

    def ByteSize(self) -> int:  # noqa: N802 - as protobuf names it
        """Size on the wire, in bytes."""

    def SerializeToString(self, *, deterministic: bool) -> bytes:  # noqa: N802 - as protobuf names it
        """The message as on the wire."""


async def request_key(request: IdempotentRequest) -> RequestKey:
    """The key of a request as it was received: of its type and of all its fields, whatever is made of them."""
    if not request.request_id:
        return NO_KEY
    if request.ByteSize() <= LARGE_BYTES:
        return _key(request)
    return await asyncio.to_thread(_key, request)


def _key(request: IdempotentRequest) -> RequestKey:
    name = request.DESCRIPTOR.full_name.encode()
    return RequestKey.for_request(request.request_id, name, request.SerializeToString(deterministic=True))
