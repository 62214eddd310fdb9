from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from soma_local.home import Home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits until a condition holds; the test's own timeout ends a wait in vain."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - the conditions are facts outside this process
                await asyncio.sleep(0.01)

    return wait
