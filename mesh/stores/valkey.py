"""Valkey: caches, locks and streams, all of it rebuildable."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError as ValkeyConnectionError
from redis.exceptions import TimeoutError as ValkeyTimeoutError

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mesh.settings import ValkeySettings

_CONNECTIONS = 32
_WAIT_S = 5.0
_CONNECT_TIMEOUT_S = 3.0
_REPLY_TIMEOUT_S = 10.0

UNREACHABLE = (ValkeyConnectionError, ValkeyTimeoutError, OSError)


@asynccontextmanager
async def open(settings: ValkeySettings) -> AsyncIterator[Redis]:  # noqa: A001 - read as valkey.open
    """A client with a bounded pool that answers in bytes.

    A call that is cancelled drops its connection, so that its late reply cannot reach the next user.
    """
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=_CONNECTIONS,
        timeout=_WAIT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_REPLY_TIMEOUT_S,
        health_check_interval=30,
    )
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise a server that does not answer as DEPENDENCY_UNAVAILABLE."""
    try:
        yield
    except UNREACHABLE as error:
        raise SomaError(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The cache does not answer; try again shortly",
            metadata={"component": "valkey"},
            retry_after_s=1.0,
        ) from error
