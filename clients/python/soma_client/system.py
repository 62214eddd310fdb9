"""Time, chance and new ids: what a test replaces."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class System:
    """What calls need of the machine."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never go back."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Waits so many seconds."""
    uniform: Callable[[float, float], float] = random.SystemRandom().uniform
    """A number between the two, for the jitter of pauses."""
    new_id: Callable[[], str] = _new_id
    """An id that nobody else has."""
