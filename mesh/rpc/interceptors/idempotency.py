"""Lets a client of REST name its request in a header."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from google.protobuf.message import Message

from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from mesh.rpc.interceptor import Continuation

HEADER = "idempotency-key"
FIELD = "request_id"


class Idempotency(Interceptor):
    """The header `Idempotency-Key` is the `request_id` of a request that has this field and leaves it empty.

    Of a stream of requests it is that of the first one. It comes before validation, whose bounds hold for it too.
    """

    name = "idempotency"
    # Nothing of a request is read for those who may not send it.
    after = ("authorization",)

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call with its request named."""
        key = call.metadata.get(HEADER, "")
        if not key:
            return await continuation(call)
        if not call.method.request_streaming:
            _name(call.request, key)
            return await continuation(call)
        messages = _first_named(cast("AsyncIterator[object]", call.request), key)
        call.request = messages
        async with aclosing(messages):
            return await continuation(call)


async def _first_named(messages: AsyncIterator[object], key: str) -> AsyncGenerator[object, None]:
    first = True
    async for message in messages:
        if first:
            _name(message, key)
        first = False
        yield message


def _name(message: object, key: str) -> None:
    if isinstance(message, Message) and FIELD in message.DESCRIPTOR.fields_by_name and not getattr(message, FIELD):
        setattr(message, FIELD, key)
