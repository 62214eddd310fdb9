"""The reader of text in pictures keeps its models no longer than there is something to read."""

from __future__ import annotations

import asyncio

import numpy as np
from PIL import Image, ImageDraw

from mesh import tasks
from mesh.testing import FakeClock
from svc_critic.adapters.heuristics.decoding import Picture
from svc_critic.adapters.heuristics.reading import Reader

IDLE_S = 300.0


def sign() -> Picture:
    """A picture with one word."""
    drawn = Image.new("RGB", (320, 120), "white")
    ImageDraw.Draw(drawn).text((40, 30), "Harbour", fill="black", font_size=48)
    return Picture(np.asarray(drawn), *drawn.size)


async def test_models_are_unloaded_when_idle_and_read_the_same_afterwards() -> None:
    clock = FakeClock()
    reader = Reader(1, idle_s=IDLE_S, clock=clock)
    keeper = asyncio.create_task(reader.keep())
    await clock.sleeper()
    before = await asyncio.to_thread(reader.read, sign())
    assert reader.loaded
    await clock.advance(IDLE_S)
    await clock.sleeper()
    assert not reader.loaded
    assert await asyncio.to_thread(reader.read, sign()) == before
    assert before.texts == ["Harbour"]
    await tasks.end(keeper)
