"""Turns whatever a call raises into the status its caller sees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio

from mesh.errors import SomaError
from mesh.rpc import status
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from mesh.rpc.interceptor import Continuation


class Errors(Interceptor):
    """A SomaError is sent as it is; anything else as INTERNAL with the trace id and nothing more."""

    # Outermost: what any other raises becomes a status here.
    name = "errors"

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call and abort it with a rich status when it fails."""
        try:
            return await continuation(call)
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # Something inside was cancelled, the call was not: its caller still waits for an answer.
            error = status.internal(call.trace_id)
        except SomaError as raised:
            error = raised
        except Exception:  # noqa: BLE001 - the boundary: the logging interceptor has it, the caller must not
            error = status.internal(call.trace_id)
        return await abort(call, error)


async def abort(call: Call, error: SomaError) -> object:
    """End the call with the error's status; raises what the server library expects of an ended call."""
    rich = status.to_status(error, call.trace_id)
    trailers = (
        (status.DETAILS_KEY, rich.SerializeToString()),
        (status.TRACE_ID_KEY, call.trace_id),
        (status.REQUEST_ID_KEY, call.request_id),
        (status.REASON_KEY, error.reason.value),
    )
    await call.context.abort(status.code_of(error), rich.message, trailing_metadata=trailers)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
