"""Keeps histories small: what is large goes to the blob store, a claim to it into the history."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Protocol

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from mesh.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.converter import SerializationContext

    from mesh.clock import Clock

THRESHOLD_BYTES = 64 * 1024
_ENCODING = b"soma/claim"
FOLDER = "workflows"
_OUTSIDE = "none"


class BlobStore(Protocol):
    """What claims need of a blob store."""

    async def put(self, key: str, content: bytes, /) -> int:
        """Store the bytes."""

    async def read(self, key: str, /) -> bytes:
        """Give the bytes."""


class ClaimCheck(PayloadCodec, WithSerializationContext):
    """Payloads above `threshold` bytes are stored under the day, their workflow and their digest.

    So a retry of the day stores nothing twice, and a day that is over gets no more, which the sweep relies on. The
    digest is checked when it is read.
    """

    def __init__(
        self,
        blobs: BlobStore,
        threshold: int = THRESHOLD_BYTES,
        workflow_id: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._blobs = blobs
        self._threshold = threshold
        self._workflow_id = workflow_id
        self._clock = clock or SystemClock()

    def with_context(self, context: SerializationContext) -> ClaimCheck:
        """The same codec for the payloads of one workflow."""
        if isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return ClaimCheck(self._blobs, self._threshold, context.workflow_id or "", self._clock)
        return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Replace large payloads by claims."""
        return list(await asyncio.gather(*(self._store_if_large(payload) for payload in payloads)))

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Replace claims by what they stand for."""
        return list(await asyncio.gather(*(self._load_if_claim(payload) for payload in payloads)))

    async def _store_if_large(self, payload: Payload) -> Payload:
        if payload.ByteSize() <= self._threshold:
            return payload
        content = payload.SerializeToString(deterministic=True)
        key = f"{FOLDER}/{self._clock.now():%Y%m%d}/{_owner(self._workflow_id)}/{hashlib.sha256(content).hexdigest()}"
        await self._blobs.put(key, content)
        return Payload(metadata={"encoding": _ENCODING}, data=key.encode())

    async def _load_if_claim(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return payload
        key = payload.data.decode()
        content = await self._blobs.read(key)
        if hashlib.sha256(content).hexdigest() != key.rpartition("/")[2]:
            raise ValueError(f"the stored payload {key} is damaged")
        return Payload.FromString(content)


def _owner(workflow_id: str) -> str:
    """A folder for a workflow: its id may hold anything, a key may not."""
    return hashlib.sha256(workflow_id.encode()).hexdigest()[:32] if workflow_id else _OUTSIDE
