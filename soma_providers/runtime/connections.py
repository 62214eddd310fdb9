"""Connections of the egress guard: kept for the host name that they were made for, and for no other.

A request goes to the number that its name was judged by, so a pool alone would give a connection that one name's
certificate opened to every other name at that number.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_NAMES = 64
_Origin = tuple[str, str, int | None]


@dataclass
class _Entry:
    client: httpx.AsyncClient
    users: int = 0


class Connections:
    """One client for each scheme, host name and port; idle ones beyond 64 are closed, the longest unused first.

    Clients keep no cookies: what a server gives to one call is not sent with another. `tls` is by default the system's
    usual verification.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls or ssl.create_default_context()
        self._entries: OrderedDict[_Origin, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Returns how many origins have a client."""
        return len(self._entries)

    @asynccontextmanager
    async def client(self, url: httpx.URL) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the client for the origin of an address."""
        origin = (url.scheme, url.host.rstrip(".").lower(), url.port)
        entry = self._entries.get(origin) or self._entries.setdefault(origin, _Entry(self._made()))
        self._entries.move_to_end(origin)
        entry.users += 1
        try:
            yield entry.client
        finally:
            entry.users -= 1
            await self._close_surplus()

    async def aclose(self) -> None:
        """Close all of them."""
        entries, self._entries = self._entries, OrderedDict()
        for entry in entries.values():
            await entry.client.aclose()

    def _made(self) -> httpx.AsyncClient:
        nothing = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        return httpx.AsyncClient(trust_env=False, follow_redirects=False, verify=self._tls, cookies=nothing)

    async def _close_surplus(self) -> None:
        surplus = len(self._entries) - _NAMES
        idle = [origin for origin, entry in self._entries.items() if not entry.users]
        closing = [self._entries.pop(origin) for origin in idle[: max(0, surplus)]]
        for entry in closing:
            await entry.client.aclose()
