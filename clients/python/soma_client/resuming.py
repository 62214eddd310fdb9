"""Streams that go on where they ended when they break."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from soma_client.contract import Retry
from soma_client.errors import CallError, CertificateError, Details, ResourceExhaustedError, UnavailableError
from soma_client.retries import pause_s

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from soma_client.calls import Caller

E = TypeVar("E")
_LOG = logging.getLogger(__name__)
_BROKEN = frozenset({"UNAVAILABLE"})
_OF_TRANSPORT = frozenset({"INTERNAL", "CANCELLED", "UNKNOWN"})
"""Codes of a stream that was reset, unless a service gave a reason with them."""
RECONNECTS = Retry(max_attempts=20, initial_backoff_s=0.2, max_backoff_s=5.0, multiplier=2.0, codes=_BROKEN)
"""How often in a row a stream is opened again without anything new in it, about a minute altogether."""


async def resumed(
    caller: Caller,
    path: str,
    begin: Callable[[], AsyncGenerator[E, None]],
    *,
    is_new: Callable[[E], bool],
    is_last: Callable[[E], bool],
    is_over: Callable[[bool], Awaitable[bool]] | None = None,
) -> AsyncGenerator[E, None]:
    """Gives what is new in the streams that `begin` opens, one after the other, until one gave its last message.

    `is_new` takes note of how far the stream came, from where `begin` goes on. `is_over` is asked when a stream ended
    by itself before its last message, and told whether there was anything new in it. Raises the CallError of a stream
    that was refused, or that broke too often in a row.
    """
    failures = 0
    while True:
        opened = advanced = False
        try:
            async with aclosing(begin()) as stream:
                async for event in stream:
                    opened = True
                    if is_new(event):
                        failures, advanced = 0, True
                        yield event
                    if is_last(event):
                        return
            if is_over is not None and await is_over(advanced):
                return
            broken: CallError = UnavailableError(path, Details("The stream ended before its last message"))
        except CallError as error:
            if not _may_go_on(error, renewable=opened and caller.is_renewable):
                raise
            broken = error
        failures += 1
        if failures >= RECONNECTS.max_attempts:
            raise broken
        wait_s = pause_s(RECONNECTS, broken, failures, caller.system)
        _LOG.debug("the stream of %s broke with %s, opened again in %.2f s", path, broken.code, wait_s)
        await caller.system.sleep(wait_s)


def _may_go_on(error: CallError, *, renewable: bool) -> bool:
    """Whether the same stream may be had by asking again; `renewable`: also when its token expired."""
    if isinstance(error, CertificateError):
        return False
    if error.code in RECONNECTS.codes or (error.code in _OF_TRANSPORT and not error.reason):
        return True
    if isinstance(error, ResourceExhaustedError):
        return error.retry_after_s is not None
    return renewable and error.code == "UNAUTHENTICATED"
