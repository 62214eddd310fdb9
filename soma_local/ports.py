"""Finds TCP ports on the loopback address."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below Linux's range for outgoing connections: a connection never takes a port between its choice and its use.
_LOWEST, _HIGHEST = 15_000, 32_000
_ATTEMPTS = 200

_given: set[int] = set()


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on the loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Give a free loopback port; raise OSError when none is found.

    It is given once: whoever chose it may take seconds to listen, and until this process ends no other call gives it,
    in this process or in another of the same user.
    """
    for _ in range(_ATTEMPTS):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if port not in _given and _claimed(port) and port_is_free(port):
            _given.add(port)
            return port
    raise OSError("no free port found on 127.0.0.1")


def _claimed(port: int) -> bool:
    """Lock the port's byte of a file that the user's processes share; the system frees it with the process."""
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@cache
def _claims() -> int:
    """The file, opened once: closing any descriptor of it would free every lock of the process."""
    path = Path(tempfile.gettempdir()) / f"soma-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
