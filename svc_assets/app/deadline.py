"""The deadline of uploads, which ends before a sweep may claim their rows."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def upload_deadline(seconds: float) -> AsyncIterator[None]:
    """Raises DEADLINE_EXCEEDED when the enclosed block takes longer than `seconds`."""
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            yield
    except TimeoutError:
        if not timeout.expired():
            raise
        text = f"the upload took more than {seconds:g} seconds; it stored nothing"
        raise SomaError(Reason.DEADLINE_EXCEEDED, text) from None
