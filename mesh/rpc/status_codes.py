"""The gRPC code a call ends with, told from what it raised: for metrics, spans and logs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from mesh.errors import SomaError

if TYPE_CHECKING:
    from mesh.rpc.interceptor import Call

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def code_of_exception(error: BaseException, call: Call) -> str:
    """The name of the code that the caller of a failed call sees."""
    if isinstance(error, SomaError):
        return error.status_mapping.grpc_code
    if isinstance(error, grpc.aio.AbortError):
        return code_of_context(call)
    if isinstance(error, asyncio.CancelledError):
        # The server library cancels a call at its deadline as it does when the caller leaves.
        remaining: float | None = call.context.time_remaining()
        return "DEADLINE_EXCEEDED" if remaining is not None and remaining <= 0 else "CANCELLED"
    return "INTERNAL"


def code_of_context(call: Call) -> str:
    """The name of the code that the handler has set, OK when it set none."""
    code: object = call.context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _NAMES.get(code, "UNKNOWN") if isinstance(code, int) else "OK"
