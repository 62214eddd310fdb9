"""The egress guard: what it lets out, and everything it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_providers.port import EgressError, EgressFailure, EgressRequest, EgressResponse
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from tests.conformance.site import Site
from tests.conformance.wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv6Address


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as server:
        assert isinstance(server, Site)
        yield server


async def fetched(site: Site, path: str, **others: object) -> EgressResponse:
    async with GuardedEgress(EgressRules(loopback=frozenset({site.authority}))) as egress:
        return await egress.fetch(EgressRequest("GET", site.url + path, **others))  # type: ignore[arg-type]


async def failure(site: Site, path: str, **others: object) -> EgressFailure:
    with pytest.raises(EgressError) as caught:
        await fetched(site, path, **others)
    return caught.value.reason


async def admitted(rules: EgressRules, url: str, *addresses: str) -> bool:
    """Whether a URL is let out when its host leads to these addresses."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    async with GuardedEgress(rules, resolve=resolve) as egress:
        try:
            await egress.admit(url)
        except EgressError as error:
            return error.reason is not EgressFailure.REFUSED
        return True


PUBLIC = "93.184.216.34"
PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
    "ff02::1", "fec0::1", "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1", "5f00::1", "192.88.99.1",
    "192.0.0.8", "3fff::1", "2001:db8::1", "100::1", "4000::1",
]  # fmt: skip


async def test_a_public_host_is_let_out_over_https() -> None:
    assert await admitted(EgressRules(), "https://example.com/a?b=c", PUBLIC)


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    assert not await admitted(EgressRules(), "https://example.com/", address)


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_inner_address_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    assert not await admitted(EgressRules(plain_http=True), f"http://{host}/")


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"])
async def test_a_name_that_leads_outside_is_let_out(address: str) -> None:
    assert await admitted(EgressRules(), "https://example.com/", address)


@pytest.mark.parametrize("host", ["a" * 64 + ".com", "a..com", "xn--a", "xn--\u00e4.com", "\u2028.com"])
async def test_a_host_that_is_no_name_is_an_error_of_the_guards_own(host: str) -> None:
    async with GuardedEgress(EgressRules()) as egress:
        with pytest.raises(EgressError):
            await egress.admit(f"https://{host}/")


async def test_one_inner_address_among_public_ones_is_enough_to_refuse() -> None:
    assert not await admitted(EgressRules(), "https://example.com/", PUBLIC, "10.0.0.1")


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https:///x", "https://user:pw@example.com/",
     "gopher://example.com", "//example.com"],
)  # fmt: skip
async def test_other_kinds_of_addresses_are_refused_wherever_they_lead(url: str) -> None:
    assert not await admitted(EgressRules(), url, PUBLIC)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1"])
async def test_an_inner_address_in_another_form_is_refused(host: str) -> None:
    """Resolvers take these for 127.0.0.1."""
    assert not await admitted(EgressRules(), f"https://{host}/", "127.0.0.1")
    assert await admitted(EgressRules(), f"https://{host}/", PUBLIC)


async def test_plain_http_needs_leave() -> None:
    assert await admitted(EgressRules(plain_http=True), "http://example.com/", PUBLIC)


async def test_an_allow_list_excludes_all_others() -> None:
    rules = EgressRules(allow=("*.example.com",))
    assert await admitted(rules, "https://api.example.com/", PUBLIC)
    assert not await admitted(rules, "https://example.org/", PUBLIC)
    assert not await admitted(rules, "https://api.example.com.evil.org/", PUBLIC)


async def test_the_deny_list_wins() -> None:
    rules = EgressRules(allow=("*.example.com",), deny=("secret.*",))
    assert not await admitted(rules, "https://SECRET.example.com./", PUBLIC)
    assert await admitted(rules, "https://open.example.com./", PUBLIC)


async def test_a_host_is_listed_by_the_allow_list_alone() -> None:
    async with GuardedEgress(EgressRules(allow=("*.Example.com",), deny=("secret.*",))) as egress:
        listed = [host for host in ("api.example.com", "secret.example.com", "example.org") if egress.is_listed(host)]
    assert listed == ["api.example.com"]
    async with GuardedEgress(EgressRules()) as egress:
        assert not egress.is_listed("api.example.com")


async def test_loopback_needs_its_port_listed() -> None:
    rules = EgressRules(loopback=frozenset({"127.0.0.1:8000"}))
    assert await admitted(rules, "http://127.0.0.1:8000/")
    assert not await admitted(rules, "http://127.0.0.1:8001/")
    assert not await admitted(EgressRules(loopback=frozenset({"internal:80"})), "http://internal/", "10.0.0.1")


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
async def test_no_inner_address_is_ever_let_out(address: IPv4Address | IPv6Address) -> None:
    if await admitted(EgressRules(), "https://example.com/", str(address)):
        assert address.is_global
        assert not address.is_multicast


async def test_a_listed_page_is_fetched_whole(site: Site) -> None:
    response = await fetched(site, "/welcome")
    assert (response.status, response.content, response.headers["content-type"]) == (200, b"Welcome back", "text/plain")


async def test_the_host_header_names_the_host_and_not_the_number(site: Site) -> None:
    port = site.authority.rsplit(":", 1)[1]
    async with GuardedEgress(EgressRules(loopback=frozenset({f"localhost:{port}"}))) as egress:
        await egress.fetch(EgressRequest("GET", f"http://localhost:{port}/welcome"))
    assert site.received[-1].headers["host"] == f"localhost:{port}"


async def test_the_address_that_was_judged_is_the_one_that_is_called(site: Site) -> None:
    asked: list[str] = []
    port = site.authority.rsplit(":", 1)[1]

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    rules = EgressRules(loopback=frozenset({f"page.test:{port}"}))
    async with GuardedEgress(rules, resolve=resolve) as egress:
        response = await egress.fetch(EgressRequest("GET", f"http://page.test:{port}/welcome"))
    assert response.status == 200
    assert asked == ["page.test"]


async def test_a_redirect_is_followed_and_named(site: Site) -> None:
    response = await fetched(site, "/moved")
    assert (response.status, response.url) == (200, f"{site.url}/")


async def test_a_redirect_inside_is_refused(site: Site) -> None:
    assert await failure(site, "/inside") is EgressFailure.REFUSED


async def test_endless_redirects_are_refused(site: Site) -> None:
    assert await failure(site, "/loop") is EgressFailure.REFUSED


async def test_secrets_do_not_follow_to_another_host(site: Site) -> None:
    with Site() as other:
        site.next.append(Reply(302, b"", {"Location": f"{other.url}/welcome"}))
        async with GuardedEgress(EgressRules(loopback=frozenset({site.authority, other.authority}))) as egress:
            headers = {"Authorization": "Bearer secret", "Accept": "text/plain"}
            await egress.fetch(EgressRequest("GET", f"{site.url}/", headers=headers))
        assert site.received[-1].headers["authorization"] == "Bearer secret"
        assert "authorization" not in other.received[-1].headers
        assert other.received[-1].headers["accept"] == "text/plain"


async def test_too_large_an_answer_is_refused(site: Site) -> None:
    assert await failure(site, "/large", max_bytes=50_000) is EgressFailure.TOO_LARGE


async def test_the_cap_counts_what_is_unpacked(site: Site) -> None:
    assert await failure(site, "/bomb", max_bytes=1_000_000) is EgressFailure.TOO_LARGE


async def test_only_what_is_unpacked_piece_by_piece_is_asked_for(site: Site) -> None:
    await fetched(site, "/welcome", headers={"Accept-Encoding": "br, zstd, gzip"})
    assert site.received[-1].headers["accept-encoding"] == "gzip"
    assert await failure(site, "/packed-otherwise") is EgressFailure.INCOMPLETE


async def test_a_packed_answer_is_unpacked(site: Site) -> None:
    assert (await fetched(site, "/bomb")).content == bytes(5_000_000)
    assert await failure(site, "/packed-badly") is EgressFailure.INCOMPLETE
    assert await failure(site, "/packed-in-part") is EgressFailure.INCOMPLETE


async def test_a_cut_answer_is_an_error(site: Site) -> None:
    assert await failure(site, "/cut") is EgressFailure.INCOMPLETE


async def test_silence_ends_in_time(site: Site) -> None:
    assert await failure(site, "/hang", timeout_s=0.2) is EgressFailure.TIMEOUT


async def test_a_closed_port_cannot_be_reached() -> None:
    async with GuardedEgress(EgressRules(loopback=frozenset({"127.0.0.1:1"}))) as egress:
        with pytest.raises(EgressError) as caught:
            await egress.fetch(EgressRequest("GET", "http://127.0.0.1:1/"))
    assert caught.value.reason is EgressFailure.UNREACHABLE
