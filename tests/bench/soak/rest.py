"""REST through the edge."""

from __future__ import annotations

import ssl

import httpx


def client_of(url: str, authority: str, credential: str) -> httpx.AsyncClient:
    """A client of somebody."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {credential}"},
        verify=ssl.create_default_context(cafile=authority),
        timeout=120,
        trust_env=False,
        limits=httpx.Limits(max_connections=64),
    )
