"""The addresses that a peer's setting names."""

from __future__ import annotations

_SCHEMES = ("dns:///", "ipv4:", "ipv6:")


def endpoints(target: str) -> tuple[str, ...]:
    """Each host:port of a target in gRPC's name syntax, for who resolves names otherwise; none of an empty one."""
    for scheme in _SCHEMES:
        target = target.removeprefix(scheme)
    return tuple(target.split(",")) if target else ()
