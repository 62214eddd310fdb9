"""Makes the calls of all methods: headers, deadline, retries, and errors as exceptions."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar, cast

import betterproto2
import grpc.aio

from soma_client.contract import Contract
from soma_client.details import call_error
from soma_client.errors import Details, UnavailableError
from soma_client.retries import Retries
from soma_client.system import System

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from soma_client.channel import Target
    from soma_client.credentials import Credential

M = TypeVar("M", bound=betterproto2.Message)
Metadata = tuple[tuple[str, str], ...]
SILENCE_S = 45.0
"""A stream is taken for broken after so many seconds without a message; a heartbeat is due every 15 s."""
_NOT_WRITTEN = "Internal error from Core"
"""How grpc.aio names that a message could not be written."""
_LOOKS, _LOOK_EVERY_S = 10, 0.02
"""How often, and after how many seconds each, the status is looked for that comes after such an error."""


class Caller:
    """Calls methods over one channel, which is opened by the first call and closed by `close`."""

    def __init__(
        self,
        target: Target,
        credential: Credential | None,
        *,
        system: System | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.system = system or System()
        self.contract = Contract.load()
        self._target = target
        self._credential = credential
        self._silence_s = silence_s
        self._retries = Retries(self.contract, self.system)
        self._channel: grpc.aio.Channel | None = None

    @property
    def is_renewable(self) -> bool:
        """Whether a new token may be had after one expired."""
        return self._credential is not None and self._credential.is_renewable

    def new_id(self) -> str:
        """An id for one request, the same in all of its attempts."""
        return self.system.new_id()

    async def unary(self, path: str, request: betterproto2.Message, reply: type[M], timeout: float | None = None) -> M:
        """Sends one message and gives the answer. Raises CallError."""
        request_id = self.new_id()

        async def attempt(left_s: float) -> M:
            method = self._opened().unary_unary(path, request_serializer=_to_bytes, response_deserializer=reply.parse)
            try:
                return await method(request, timeout=left_s, metadata=await self._metadata(request_id))
            except grpc.aio.AioRpcError as failure:
                raise call_error(path, failure, request_id) from None

        return await self._retries.run(path, timeout, attempt)

    async def send(
        self,
        path: str,
        requests: Callable[[], AsyncGenerator[betterproto2.Message, None]],
        reply: type[M],
        timeout: float | None = None,
        *,
        repeatable: bool = True,
    ) -> M:
        """Sends a stream and gives the answer; `requests` begins the stream anew for each attempt. Raises CallError."""
        request_id = self.new_id()

        async def attempt(left_s: float) -> M:
            method = self._opened().stream_unary(path, request_serializer=_to_bytes, response_deserializer=reply.parse)
            call = method(timeout=left_s, metadata=await self._metadata(request_id))
            try:
                async with aclosing(requests()) as messages:
                    await _write(call, messages)
                return await call
            except grpc.aio.AioRpcError as failure:
                raise call_error(path, await self._status(call, failure), request_id) from None
            finally:
                call.cancel()

        return await self._retries.run(path, timeout, attempt, repeatable=repeatable)

    async def stream(self, path: str, request: betterproto2.Message, reply: type[M]) -> AsyncGenerator[M, None]:
        """Sends one message and gives the answers until the stream ends or breaks. Raises CallError."""
        request_id = self.new_id()
        method = self._opened().unary_stream(path, request_serializer=_to_bytes, response_deserializer=reply.parse)
        call = method(request, metadata=await self._metadata(request_id))
        try:
            while (message := await self._read(path, call, request_id)) is not None:
                yield message
        finally:
            call.cancel()

    async def close(self) -> None:
        """Ends what is running and closes the connection."""
        if self._channel is not None:
            await self._channel.close()

    async def _read(
        self, path: str, call: grpc.aio.UnaryStreamCall[betterproto2.Message, M], request_id: str
    ) -> M | None:
        """The next message; None at the end."""
        try:
            async with asyncio.timeout(self._silence_s):
                message = await call.read()
        except TimeoutError:
            text = f"The stream sent nothing for {self._silence_s:g} s"
            raise UnavailableError(path, Details(text, request_id=request_id)) from None
        except grpc.aio.AioRpcError as failure:
            raise call_error(path, failure, request_id) from None
        return None if message is grpc.aio.EOF else cast("M", message)

    async def _status(
        self, call: grpc.aio.StreamUnaryCall[betterproto2.Message, M], failure: grpc.aio.AioRpcError
    ) -> grpc.aio.AioRpcError:
        """How a call ended that failed so; where no status arrives any more it counts as a broken connection.

        Where a call ends in the moment in which a message is written, grpc.aio reports an error of its own first, and
        the status that the server gave a moment later.
        """
        if failure.code() is not grpc.StatusCode.INTERNAL or failure.details() != _NOT_WRITTEN:
            return failure
        for _ in range(_LOOKS):
            await self.system.sleep(_LOOK_EVERY_S)
            if call.done() and await call.details() != _NOT_WRITTEN:
                return grpc.aio.AioRpcError(
                    await call.code(),
                    await call.initial_metadata(),
                    await call.trailing_metadata(),
                    details=await call.details(),
                )
        return grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE,
            failure.initial_metadata(),
            failure.trailing_metadata(),
            details="The call ended while its request was sent",
        )

    def _opened(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._target.open()
        return self._channel

    async def _metadata(self, request_id: str) -> Metadata:
        given: Metadata = (("x-request-id", request_id),)
        if self._credential is None:
            return given
        return (*given, ("authorization", await self._credential.authorization()))


def _to_bytes(message: betterproto2.Message) -> bytes:
    return bytes(message)


async def _write(
    call: grpc.aio.StreamUnaryCall[betterproto2.Message, M],
    messages: AsyncIterator[betterproto2.Message],
) -> None:
    """Writes all messages, or those that the call takes before it is answered."""
    async for message in messages:
        try:
            await call.write(message)
        except asyncio.InvalidStateError:
            return
    await call.done_writing()
