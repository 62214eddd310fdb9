"""What the driver raises is told from what the database refuses."""

from __future__ import annotations

import asyncpg
import pytest

from mesh.errors import Reason, SomaError
from mesh.stores.failures import translate_errors

LOST = [
    ConnectionResetError("reset by peer"),
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.InterfaceError("connection is closed"),
    # Of a server that was stopped while it answered.
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_is_an_unavailable_dependency(error: Exception) -> None:
    with pytest.raises(SomaError) as caught, translate_errors():
        raise error
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert caught.value.__cause__ is error


def test_a_violated_constraint_passes() -> None:
    with pytest.raises(asyncpg.UniqueViolationError), translate_errors():
        raise asyncpg.UniqueViolationError("duplicate key")
