"""A hostile tenant as a process of its own, so that it is not in the way of the client that is measured.

`python -m tests.bench.soak.attacker` reads its options, a line of JSON, and sends until its standard input ends, then
prints how often each input got which answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import uvloop

from tests.bench.soak.hostile import attack
from tests.bench.soak.rest import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 6
_END_S = 60.0
_NICE = 10
"""Clients are elsewhere: they shall take little of the processors of the mesh, and nothing of the client's."""


@dataclass(frozen=True)
class Options:
    """Where the edge is, as whom to call, and with which inputs to begin: `AT_ONCE` calls, each with its own."""

    url: str
    authority: str
    credential: str
    offset: int


class Attacker:
    """A process that sends; `answers` are known once it has ended."""

    def __init__(self, options: Options) -> None:
        command = [sys.executable, "-m", "tests.bench.soak.attacker"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers: dict[str, int] = {}
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(asdict(options)) + "\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """Let it end, and read what it tells."""
        told, _ = self._process.communicate(timeout=_END_S)
        self.answers = json.loads(told or "{}")

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait()


@contextmanager
def attacking(*all_options: Options) -> Iterator[list[Attacker]]:
    """Attackers that send while entered."""
    attackers = [Attacker(options) for options in all_options]
    try:
        yield attackers
        for attacker in attackers:
            attacker.stop()
    finally:
        for attacker in attackers:
            attacker.kill()


async def send(options: Options) -> dict[str, int]:
    """Send until standard input ends."""
    seen: dict[str, int] = {}
    async with client_of(options.url, options.authority, options.credential) as client:
        attacks = [asyncio.create_task(attack(client, options.offset + number, seen)) for number in range(AT_ONCE)]
        await asyncio.to_thread(sys.stdin.read)
        for task in attacks:
            task.cancel()
        await asyncio.gather(*attacks, return_exceptions=True)
    return seen


def main() -> None:
    """Sends, and tells."""
    os.nice(_NICE)
    options = Options(**json.loads(sys.stdin.readline()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(send(options))))


if __name__ == "__main__":
    main()
