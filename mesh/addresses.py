"""Hosts of this machine, told by name or number: nothing is resolved."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine's own: "localhost", or a loopback address, IPv6 with or without brackets."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_remote(url: str) -> bool:
    """Say whether an address leads to another machine: none does not, what cannot be read counts as such."""
    if not url:
        return False
    try:
        return not is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return True
