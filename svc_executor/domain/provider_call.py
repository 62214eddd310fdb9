"""Calls of providers that cost something: what is known of them until their attempt is recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.ids import made_at
from soma_providers.port import storable_fields, storable_text
from svc_executor.domain.usage import NO_USAGE

if TYPE_CHECKING:
    from datetime import datetime

    from soma_providers.port import Artefact, InvocationResult, Usage
    from svc_executor.domain.job import Execution

RESULT_LOST = "RESULT_LOST"
_LOCAL = "local"
_FRESH = timedelta(seconds=5)
"""A reservation lasts a minute longer than any call may take, from when it is made or renewed."""


@dataclass(frozen=True)
class ProviderCall:
    """A call that was started for an attempt. From `ends_at` on it is over, whether or not its answer arrived."""

    execution_id: str
    job_id: str
    tenant_id: str
    idempotency_key: str
    started_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class CallOutcome:
    """How a call ended: `result` is None when it failed, and then the error says why.

    `usage` is what the call consumed either way, None where nobody knows. `called` is True where this process called
    the provider, which answered or failed; `stored` where a repeated attempt will find this outcome.
    """

    result: InvocationResult | None
    usage: Usage | None = NO_USAGE
    latency_ms: int = 0
    error_code: str = ""
    error_message: str = ""
    stored: bool = False
    called: bool = False


def is_repeatable(execution: Execution) -> bool:
    """Whether the provider may be called twice for an attempt: it has no price and runs on this machine."""
    return execution.capability.provider == _LOCAL and not execution.reservation_id


def needs_renewal(execution: Execution, now: datetime) -> bool:
    """Whether an attempt's reservation is to be renewed before the provider is called: it was not made just now.

    One that was made in the future is renewed, too: the clocks differ, and its age is not known.
    """
    if not execution.reservation_id:
        return False
    reserved_at = made_at(execution.reservation_id)
    return reserved_at is None or abs(now - reserved_at) > _FRESH


def storable_outcome(outcome: CallOutcome) -> CallOutcome:
    """The outcome with all its texts storable, those of metadata included; bytes of artefacts stay as they are."""
    result = outcome.result
    if result is not None:
        result = replace(
            result,
            artefacts=tuple(_storable_artefact(artefact) for artefact in result.artefacts),
            text=storable_text(result.text),
            model=storable_text(result.model),
            metadata=storable_fields(result.metadata),
        )
    return replace(outcome, result=result, error_message=storable_text(outcome.error_message))


def _storable_artefact(artefact: Artefact) -> Artefact:
    return replace(
        artefact,
        media_type=storable_text(artefact.media_type),
        filename=storable_text(artefact.filename),
        asset_type=storable_text(artefact.asset_type),
        metadata=storable_fields(artefact.metadata),
    )


def lost_outcome() -> CallOutcome:
    """The outcome of a call whose answer nobody knows."""
    return CallOutcome(
        result=None,
        usage=None,
        error_code=RESULT_LOST,
        error_message="the provider was called, but its answer was lost with the worker that waited for it",
    )
