"""Fails tests in which our code blocks an event loop: by sleeping, by waiting for a socket, a process or a result.

The ends of threads are left out: the garbage collector, wherever it runs, ends those of gRPC.
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blockbuster import blockbuster
from blockbuster.blockbuster import BlockBusterFunction, BlockingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

PACKAGES = (
    "mesh", "soma_cli", "soma_local", "soma_providers",
    *sorted(path.parent.name for path in Path(__file__).parents[1].glob("svc_*/context.py")),
)  # fmt: skip
SOCKETS = ("connect", "accept", "send", "sendall", "sendto", "recv", "recv_into", "recvfrom", "recvmsg")
TLS = ("do_handshake", "write", "send", "read", "recv")
WAITS = ("time.sleep", "socket.getaddrinfo", "socket.create_connection", "subprocess.Popen.wait",
         "subprocess.Popen.communicate", "os.waitpid")  # fmt: skip


class FoundError(BlockingError):
    """A blocking call, remembered as well, since some code turns every error into one of its own."""

    calls: list[str] = []  # noqa: RUF012 - of the process, as what is wrapped

    def __init__(self, name: str) -> None:
        """Remember the call and who made it."""
        super().__init__(name)
        ours = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_stack()
            if any(f"/{package}/" in frame.filename for package in PACKAGES)
        ]
        self.calls.append(f"{name} blocks the event loop, called by {ours[-1]}")


def _no_wait(sock: object, *_: object, **__: object) -> bool:
    return not sock.getblocking()  # type: ignore[attr-defined]


def _is_done(future: Future[object], *_: object, **__: object) -> bool:
    return future.done()


def _blocking(packages: Sequence[str]) -> Iterator[BlockBusterFunction]:
    def function(name: str, allowed: Callable[..., bool] = lambda *_, **__: False) -> BlockBusterFunction:
        return BlockBusterFunction(None, name, scanned_modules=packages, can_block_predicate=allowed)

    yield from map(function, WAITS)
    yield from (function(f"socket.socket.{name}", _no_wait) for name in SOCKETS)
    yield from (function(f"ssl.SSLSocket.{name}", _no_wait) for name in TLS)
    yield function("concurrent.futures.Future.result", _is_done)


@contextmanager
def watching(packages: Sequence[str] = PACKAGES) -> Iterator[None]:
    """Raise where code of the packages blocks the loop that it runs on."""
    functions = list(_blocking(packages))
    plain = blockbuster.BlockingError
    blockbuster.BlockingError = FoundError  # type: ignore[misc]
    try:
        for function in functions:
            function.activate()
        yield
    finally:
        for function in functions:
            function.deactivate()
        blockbuster.BlockingError = plain  # type: ignore[misc]
