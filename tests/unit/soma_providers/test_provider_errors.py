"""Errors of providers."""

from __future__ import annotations

import pickle

import pytest

from soma_providers.port import Failure, FailureOrigin, ProviderBusyError, ProviderError, Usage, invalid_input


def test_a_provider_error_survives_a_process_boundary() -> None:
    error = ProviderError(
        Failure.TIMEOUT,
        "slow",
        retry_after_s=2.0,
        pointer="/source",
        origin=FailureOrigin.CALLER,
        usage=Usage(output_tokens=3),
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (ProviderError, "slow", vars(error))


def test_a_busy_error_survives_a_process_boundary() -> None:
    copy = pickle.loads(pickle.dumps(ProviderBusyError("busy", 2.0)))
    assert (str(copy), copy.retry_after_s) == ("busy", 2.0)


@pytest.mark.parametrize("reason", [Failure.UNAVAILABLE, Failure.TIMEOUT])
def test_an_outage_is_the_providers_fault_unless_said_otherwise(reason: Failure) -> None:
    assert ProviderError(reason, "down").origin is FailureOrigin.PROVIDER


@pytest.mark.parametrize(
    "reason", [Failure.RATE_LIMITED, Failure.AUTH_FAILED, Failure.CONTENT_REJECTED, Failure.INVALID_INPUT]
)
def test_a_refusal_is_the_callers_fault(reason: Failure) -> None:
    assert ProviderError(reason, "no").origin is FailureOrigin.CALLER
    assert invalid_input("/a", "is wrong").origin is FailureOrigin.CALLER
