"""Requests to the health endpoints of engines."""

from __future__ import annotations

import httpx

_TIMEOUT_S = 3.0


async def get_status(url: str) -> tuple[int, str]:
    """Returns status code and body of a GET; (0, "") when the connection fails."""
    async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_S) as client:
        try:
            response = await client.get(url)
        except httpx.TransportError:
            return 0, ""
    return response.status_code, response.text
