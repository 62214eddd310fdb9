"""Finds TCP ports on the loopback address."""

from __future__ import annotations

import secrets
import socket

LOOPBACK = "127.0.0.1"
# Below Linux's range for outgoing connections: a connection never takes a port between its choice and its use.
_LOWEST, _HIGHEST = 15_000, 32_000
_ATTEMPTS = 200


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
    """Give a free loopback port; raise OSError when none is found."""
    for _ in range(_ATTEMPTS):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if port_is_free(port):
            return port
    raise OSError("no free port found on 127.0.0.1")
