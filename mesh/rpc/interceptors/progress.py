"""Ends uploads that make no progress."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from google.protobuf.message import Message

from mesh.errors import Reason, SomaError
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mesh.clock import Clock
    from mesh.rpc.interceptor import Continuation


class UploadProgress(Interceptor):
    """A request stream may be waited for `grace_s` seconds, and a second more for every `bytes_per_s` bytes of it.

    So a client that sends a byte a minute ends with its grace, and one that keeps up the rate is never ended. Only the
    time that the server waits counts, not what it takes to read. Streams in both directions may pause: they are free.
    """

    name = "upload_progress"
    # What waits for a place is not slow.
    after = ("admission",)

    def __init__(self, clock: Clock, grace_s: float, bytes_per_s: int) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._bytes_per_s = bytes_per_s

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call as long as its request comes fast enough; DEADLINE_EXCEEDED when it does not."""
        if not call.method.request_streaming or call.method.response_streaming:
            return await continuation(call)
        messages = self._paced(cast("AsyncIterator[object]", call.request))
        call.request = messages
        async with aclosing(messages):
            return await continuation(call)

    async def _paced(self, messages: AsyncIterator[object]) -> AsyncGenerator[object, None]:
        remaining = self._grace_s
        while True:
            began = self._clock.monotonic()
            message = await self._next(messages, remaining)
            if message is None:
                return
            remaining -= self._clock.monotonic() - began
            remaining += message.ByteSize() / self._bytes_per_s if isinstance(message, Message) else 0
            yield message

    async def _next(self, messages: AsyncIterator[object], seconds: float) -> object:
        """The next message, None at the end of the stream."""
        coming = asyncio.ensure_future(anext(messages, None))
        late = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({coming, late}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise SomaError(
                    Reason.DEADLINE_EXCEEDED,
                    f"The upload is too slow: send at least {self._bytes_per_s} bytes a second",
                )
            return coming.result()
        finally:
            late.cancel()
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})  # whoever closes the stream must not find it running
