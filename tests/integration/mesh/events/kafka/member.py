"""A member of a consumer group in a process of its own, to be killed: it takes deliveries and never ends one."""

from __future__ import annotations

import asyncio
import os
import sys

from mesh.events.kafka import KafkaBus
from mesh.settings import BusSettings


async def main(topic: str) -> None:
    """Say what comes, one event id a line, until killed."""
    settings = BusSettings.model_validate_json(os.environ["MEMBER_BUS"])
    async with KafkaBus(settings, topics=[topic]) as bus, bus.subscribe("g", [topic]) as member:
        async for batch in member:
            for delivery in batch:
                sys.stdout.write(f"{delivery.event_id}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
