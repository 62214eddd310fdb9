"""Turns what the Postgres driver raises into errors of the mesh."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER_S = 1.0

# Class 08 and what a server says while it starts, stops or is full. Where it stops in the middle of an answer, the
# driver loses its own place instead.
_LOST = (
    ConnectionError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
# Text that no column can hold: U+0000, in a text or within JSON.
_UNSTORABLE = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
DRIVER_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_CONTENDED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)


def is_connection_failure(error: BaseException) -> bool:
    """Whether the driver lost the database, as opposed to having been refused by it."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "terminat" in str(error)
    return isinstance(error, _LOST)


def unavailable() -> SomaError:
    """The error for a database that does not answer."""
    return SomaError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "The database does not answer; try again shortly",
        metadata={"component": "postgres"},
        retry_after_s=RETRY_AFTER_S,
    )


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise connection failures as DEPENDENCY_UNAVAILABLE, lost races as CONFLICT, U+0000 as INVALID_ARGUMENT.

    Violated constraints pass, because only the adapter knows what they mean.
    """
    try:
        yield
    except _UNSTORABLE as error:
        raise SomaError(Reason.INVALID_ARGUMENT, "A text holds the character U+0000; leave it out") from error
    except _CONTENDED as error:
        raise SomaError(
            Reason.CONFLICT, "Another change of the same object came first; try again", retry_after_s=0.1
        ) from error
    except DRIVER_FAILURES as error:  # a TimeoutError is an OSError
        if not isinstance(error, OSError) and not is_connection_failure(error):
            raise
        raise unavailable() from error
