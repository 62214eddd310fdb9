"""Tiny real programs for the supervisor's tests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from soma_local.program import Command, Program

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home

# Writes a line to the journal when it starts and when it is told to stop; the file `<name>.up` says it is ready.
_SCRIPT = """
import os, pathlib, signal, sys, time
name, folder, mode = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
def note(text):
    with open(folder / "journal", "a") as journal:
        journal.write(f"{name} {text}\\n")
def end(number, frame):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, end if mode != "stubborn" else signal.SIG_IGN)
note("started")
if mode == "crash":
    sys.exit(3)
(folder / f"{name}.up").write_text(str(os.getpid()))
while True:
    signal.pause()
"""


class TinyProgram(Program):
    """A Python script; `mode` is "serve", "crash" (ends at once) or "stubborn" (ignores SIGTERM)."""

    start_timeout_s = 20.0
    stop_grace_s = 5.0

    def __init__(self, name: str, home: Home, folder: Path, mode: str = "serve") -> None:
        super().__init__(name, home)
        self._folder = folder
        self.mode = mode

    async def prepare(self) -> None:
        self._up.unlink(missing_ok=True)

    def command(self) -> Command:
        return Command([sys.executable, "-S", "-c", _SCRIPT, self.name, str(self._folder), self.mode])

    async def ready(self) -> bool:
        return self._up.exists() and self._up.read_text() != ""

    @property
    def _up(self) -> Path:
        return self._folder / f"{self.name}.up"


def journal(folder: Path) -> list[str]:
    """What the programs did, in order."""
    file = folder / "journal"
    return file.read_text().splitlines() if file.exists() else []
