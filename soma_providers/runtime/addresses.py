"""Which IP addresses are public, by our own table: that of `ipaddress` changes with the version of Python.

Source: IANA's registries of special-purpose IPv4 and IPv6 addresses, and RFC 4291 for what IPv6 assigns at all.
"""

from __future__ import annotations

import ipaddress

_SPECIAL = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4: none of them is where a public server lives.
_SPECIAL_UNICAST = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# What a translator makes of an IPv4 address; the rest of ::/3 is not assigned, or is not public.
_TRANSLATED = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet, and carries none inside that is not."""
    number = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(number, ipaddress.IPv6Address):
        if any(number in network for network in _TRANSLATED):
            return is_public(str(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)))
        return number in _UNICAST and not any(number in network for network in _SPECIAL_UNICAST)
    return not any(number in network for network in _SPECIAL)
