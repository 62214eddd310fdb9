"""Allocates TCP ports on the loopback address."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral ports: no outgoing connection takes a port between its allocation and its use.
_MIN_PORT, _MAX_PORT = 15_000, 32_000
_ATTEMPTS = 200

_allocated: set[int] = set()


def port_is_free(port: int) -> bool:
    """Returns whether a server can listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Returns a free loopback port; raises OSError when none is found.

    No other call returns the same port until this process ends, in this process or in another of the same user: the
    program that is to use it may need seconds until it listens.
    """
    for _ in range(_ATTEMPTS):
        port = _MIN_PORT + secrets.randbelow(_MAX_PORT - _MIN_PORT)
        if port not in _allocated and _try_lock(port) and port_is_free(port):
            _allocated.add(port)
            return port
    raise OSError("no free port found on 127.0.0.1")


def _try_lock(port: int) -> bool:
    """Locks the port's byte of a file that all processes of the user share; the lock ends with the process."""
    try:
        fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _lock_file() -> int:
    """Opens the file once: closing any descriptor of it releases all locks of the process."""
    path = Path(tempfile.gettempdir()) / f"soma-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
