"""Which addresses are this machine's own, told by their text."""

from __future__ import annotations

import pytest

from mesh.addresses import is_loopback, is_remote


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_hosts_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "localhost.example", "10.0.0.1", "127.1", "2130706433", "0.0.0.0"])
def test_other_hosts(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["", "http://LOCALHOST:11434/v1", "http://127.0.0.1:1", "https://[::1]:8443/x"])
def test_addresses_of_this_machine(url: str) -> None:
    assert not is_remote(url)


@pytest.mark.parametrize(
    "url",
    ["https://llm.example", "http://127.0.0.1@llm.example/", "127.0.0.1:80/v1", "http://[::1", " ", "http:///v1"],
)
def test_addresses_of_others_and_what_is_none(url: str) -> None:
    assert is_remote(url)
