"""Ends uploads at a deadline, before a sweep may count them as left behind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def upload_deadline(seconds: float) -> AsyncIterator[None]:
    """Bounds the enclosed block; DEADLINE_EXCEEDED when it takes longer."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        text = f"the upload took more than {seconds:g} seconds; it stored nothing"
        raise SomaError(Reason.DEADLINE_EXCEEDED, text) from None
