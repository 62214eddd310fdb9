"""One line per failed call, and per served one at debug level."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import grpc.aio

from mesh.errors import STATUS_MAPPINGS, Reason, SomaError
from mesh.logging import get_logger
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.status_codes import code_of_exception

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.rpc.interceptor import Continuation

_NAME = "mesh.rpc"
_SERVER_FAULTS = frozenset(reason for reason in Reason if STATUS_MAPPINGS[reason].http_status >= 500)  # noqa: PLR2004


class Logging(Interceptor):
    """The caller's mistakes are information, the server's failures warnings, defects errors with their traceback."""

    name = "logging"
    # A line holds the ids of its call.
    after = ("errors", "tracing")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = get_logger(_NAME)
        self._library = logging.getLogger(_NAME)

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call and log how it went."""
        started = self._clock.monotonic()
        try:
            result = await continuation(call)
        except SomaError as error:
            level = "warning" if error.reason in _SERVER_FAULTS else "info"
            self._write(level, call, started, error)
            raise
        except (asyncio.CancelledError, grpc.aio.AbortError) as error:
            self._write("info", call, started, error)
            raise
        except Exception as error:
            self._write("exception", call, started, error)
            raise
        if self._library.isEnabledFor(logging.DEBUG):
            self._write("debug", call, started, None)
        return result

    def _write(self, level: str, call: Call, started: float, error: BaseException | None) -> None:
        caller = call.caller
        getattr(self._log, level)(
            "call",
            service=call.method.service,
            method=call.method.name,
            code="OK" if error is None else code_of_exception(error, call),
            reason=error.reason.value if isinstance(error, SomaError) else "",
            detail=error.message if isinstance(error, SomaError) else "",
            seconds=round(self._clock.monotonic() - started, 6),
            trace_id=call.trace_id,
            request_id=call.request_id,
            tenant_id=caller.tenant_id if caller else "",
            subject=caller.subject if caller else "",
        )
