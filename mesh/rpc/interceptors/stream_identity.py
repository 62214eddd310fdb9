"""Ends open streams whose caller's credential is no longer good."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError
from mesh.rpc.access import is_service, sends_events
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.rpc.interceptor import Continuation, MethodInfo

_REVOKED = "The token has been revoked"
_EXPIRED = "The token has expired: get a new one, and resume"


class Revocations(Protocol):
    """Announces revoked keys."""

    def on_revoked(self, listener: Callable[[Iterable[str]], None]) -> None:
        """Call with the ids of keys as soon as they are known to be revoked."""


class StreamIdentity(Interceptor):
    """Ends streams with UNAUTHENTICATED: all of a key that is revoked, and event streams and uploads when the
    credential expires that opened them.

    `Identity` verifies a credential when a call begins, and a stream may last for days after that.

    The expiry of a token ends no stream of a service, whether it acts for itself or for somebody: a service renews its
    tokens every few minutes, so its watches of keys and capabilities would be opened again as often, and what it
    transfers would break in the middle. Nor does it end raw bodies, which end by themselves: a REST client could not
    tell a part of a download from the whole, since its status was sent before.
    """

    name = "stream_identity"
    after = ("identity",)

    def __init__(self, clock: Clock, revocations: Revocations | None = None) -> None:
        self._clock = clock
        self._open: dict[str, set[_Stream]] = {}
        if revocations is not None:
            revocations.on_revoked(self._end_all)

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call as long as its caller's credential is good. Unary calls have deadlines and are left alone."""
        method, caller = call.method, call.caller
        if caller is None or method.public or not (method.request_streaming or method.response_streaming):
            return await continuation(call)
        with self._registered(caller, expires=not (is_service(caller) or _sends_raw_body(method))) as stream:
            try:
                return await continuation(call)
            except asyncio.CancelledError:
                if not stream.why_ended or stream.task.uncancel() > 0:
                    raise
                raise SomaError(Reason.UNAUTHENTICATED, stream.why_ended) from None

    @contextmanager
    def _registered(self, caller: Caller, *, expires: bool) -> Iterator[_Stream]:
        """Have the current task's stream ended when its time has come, while entered."""
        # Nothing was awaited since the credential was verified, so no revocation is missed in between.
        stream = _Stream()
        streams = self._open.setdefault(caller.key_id, set())
        streams.add(stream)
        expiry = None
        if expires and caller.expires_at is not None:
            expiry = asyncio.create_task(self._end_at(stream, caller.expires_at))
        try:
            yield stream
        finally:
            if expiry is not None:
                expiry.cancel()
            streams.discard(stream)
            if not streams:
                self._open.pop(caller.key_id, None)

    async def _end_at(self, stream: _Stream, expires_at: datetime) -> None:
        while (left_s := (expires_at - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(left_s)
        stream.end(_EXPIRED)

    def _end_all(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            for stream in self._open.get(key_id, ()):
                stream.end(_REVOKED)


class _Stream:
    """A stream that the current task serves."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served outside of a task")
        self.task = task
        self.why_ended = ""

    def end(self, why: str) -> None:
        """Cancel the task; without effect the second time."""
        if not self.why_ended:
            self.why_ended = why
            self.task.cancel()


def _sends_raw_body(method: MethodInfo) -> bool:
    return method.response_streaming and not sends_events(method.service, method.name)
