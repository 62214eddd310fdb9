"""The one guarded way out: judges an address by name and by number, connects to the number it judged, caps what comes.

A name is resolved once and the connection goes to that very address, so that a name cannot change its mind between the
check and the call. A connection is kept for the one host name whose certificate was checked. Redirects are followed by
hand, each judged like the first address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import httpx

from mesh.addresses import is_loopback
from soma_providers.port import EgressError, EgressFailure, EgressRequest, EgressResponse
from soma_providers.runtime.addresses import is_public
from soma_providers.runtime.connections import Connections

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

Resolver = Callable[[str, int], Awaitable[list[str]]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}
# Asked for instead of what the caller would take: it is unpacked piece by piece, never beyond the caller's limit.
_ENCODING, _GZIP = "gzip", 16 + zlib.MAX_WBITS
_CONNECT_S = 10.0
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_PRIVATE_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "idempotency-key"})


@dataclass(frozen=True)
class EgressRules:
    """What may be fetched.

    `allow` and `deny` are host patterns such as "*.example.com"; an empty `allow` admits every public host, and `deny`
    wins. `loopback` lists "host:port" of this machine that may be fetched over plain HTTP. `plain_http` admits http to
    public hosts.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    loopback: frozenset[str] = field(default_factory=frozenset)
    plain_http: bool = False


@dataclass(frozen=True)
class _Target:
    url: httpx.URL
    address: str


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Give the addresses that the system knows for a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedEgress:
    """Fetches through the rules; an async context manager that owns its connections."""

    def __init__(
        self, rules: EgressRules, *, resolve: Resolver = resolve_by_system, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._connections = Connections(tls)

    async def __aenter__(self) -> GuardedEgress:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.aclose()

    async def admit(self, url: str) -> None:
        """Raise EgressError(REFUSED) unless the address may be fetched now."""
        await self._judge(url)

    def is_listed(self, host: str) -> bool:
        """Say whether a pattern of `allow` names the host, and none of `deny`."""
        return _matches(host, self._rules.allow) and not _matches(host, self._rules.deny)

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """Fetch through the guard, redirects included; raise EgressError."""
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._follow(request)
        except TimeoutError:
            raise _failed(EgressFailure.TIMEOUT, request, f"did not answer within {request.timeout_s:.0f} s") from None

    async def _follow(self, request: EgressRequest) -> EgressResponse:
        for hop in range(request.max_redirects + 1):
            response = await self._send(request, await self._judge(request.url))
            place = response.headers.get("location", "")
            if response.status not in _REDIRECTS or not place or request.method not in {"GET", "HEAD"}:
                return response
            if hop == request.max_redirects:
                break
            request = _redirected(request, place)
        raise _failed(EgressFailure.REFUSED, request, f"redirects more than {request.max_redirects} times")

    async def _send(self, request: EgressRequest, target: _Target) -> EgressResponse:
        url = target.url.copy_with(host=target.address)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
        headers |= {"Host": target.url.netloc.decode(), "Accept-Encoding": _ENCODING}
        try:
            async with self._connections.client(target.url) as client:
                call = client.build_request(
                    request.method, url, headers=headers, content=request.content or None,
                    timeout=httpx.Timeout(request.timeout_s, connect=min(_CONNECT_S, request.timeout_s)),
                    extensions={"sni_hostname": target.url.host},
                )  # fmt: skip
                response = await client.send(call, stream=True)
                try:
                    body = await _body(response, request)
                finally:
                    await response.aclose()
        except httpx.ConnectTimeout as error:
            raise _failed(EgressFailure.UNREACHABLE, request, "cannot be reached") from error
        except httpx.TimeoutException:
            raise _failed(EgressFailure.TIMEOUT, request, "did not answer in time") from None
        except (httpx.RemoteProtocolError, httpx.ReadError, zlib.error) as error:
            raise _failed(EgressFailure.INCOMPLETE, request, "broke off its answer") from error
        except httpx.TransportError as error:
            raise _failed(EgressFailure.UNREACHABLE, request, "cannot be reached") from error
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return EgressResponse(response.status_code, lowered, body, request.url)

    async def _judge(self, text: str) -> _Target:
        try:
            url = httpx.URL(text)
            host, port = url.host.rstrip(".").lower(), url.port or _PORTS.get(url.scheme, 0)
        except (httpx.InvalidURL, UnicodeError):
            raise EgressError(EgressFailure.REFUSED, "the address is not a URL") from None
        if url.scheme not in _PORTS or not host:
            raise _refused(text, "only https addresses may be fetched")
        if url.userinfo:
            raise _refused(text, "an address must not hold a name and password")
        ours = f"{url.host}:{port}" in self._rules.loopback
        if not ours:
            self._judge_name(text, url, host)
        addresses = await self._addresses(text, host, port)
        for address in addresses:
            if not (is_loopback(address) if ours else is_public(address)):
                raise _refused(text, "it leads to an address that is not public")
        return _Target(url, addresses[0])

    def _judge_name(self, text: str, url: httpx.URL, host: str) -> None:
        if url.scheme == "http" and not self._rules.plain_http:
            raise _refused(text, "only https addresses may be fetched")
        if _matches(host, self._rules.deny):
            raise _refused(text, "the host is on the deny list")
        if self._rules.allow and not _matches(host, self._rules.allow):
            raise _refused(text, "the host is not on the allow list")

    async def _addresses(self, text: str, host: str, port: int) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # a label of a name may be too long, or empty
            raise EgressError(EgressFailure.UNREACHABLE, f"{_shown(text)}: the host is not known") from error
        if not found:
            raise EgressError(EgressFailure.UNREACHABLE, f"{_shown(text)}: the host is not known")
        return found


async def _body(response: httpx.Response, request: EgressRequest) -> bytes:
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > request.max_bytes:
        raise _failed(EgressFailure.TOO_LARGE, request, f"answers with more than {request.max_bytes} bytes")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        raise _failed(EgressFailure.INCOMPLETE, request, "answers in an encoding that nobody asked for")
    unpacker = zlib.decompressobj(wbits=_GZIP) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk if unpacker is None else unpacker.decompress(chunk, request.max_bytes + 1 - len(body))
        if len(body) > request.max_bytes:
            raise _failed(EgressFailure.TOO_LARGE, request, f"answers with more than {request.max_bytes} bytes")
    if body and unpacker is not None and not unpacker.eof:
        raise _failed(EgressFailure.INCOMPLETE, request, "broke off its answer")
    return bytes(body)


def _redirected(request: EgressRequest, place: str) -> EgressRequest:
    before = httpx.URL(request.url)
    try:
        after = before.join(place)
        moved = (before.scheme, before.host, before.port) != (after.scheme, after.host, after.port)
    except (httpx.InvalidURL, UnicodeError):
        raise _failed(EgressFailure.REFUSED, request, "redirects to what is no address") from None
    headers: Mapping[str, str] = request.headers
    if moved:
        headers = {name: value for name, value in headers.items() if name.lower() not in _PRIVATE_HEADERS}
    return replace(request, url=str(after), headers=headers)


def _matches(host: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(host, pattern.lower()) for pattern in patterns)


def _shown(text: str) -> str:
    """Give the address without query and credentials, for messages."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return "the address"
    return f"{url.scheme}://{url.host}{f':{url.port}' if url.port else ''}{url.path}"[:200]


def _refused(text: str, why: str) -> EgressError:
    return EgressError(EgressFailure.REFUSED, f"{_shown(text)} may not be fetched: {why}")


def _failed(reason: EgressFailure, request: EgressRequest, what: str) -> EgressError:
    return EgressError(reason, f"{_shown(request.url)} {what}")
