"""Runs the built programs, each with the same command line."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tools.polyglot import CLIENTS, Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES = tuple(client.name for client in CLIENTS)
RUN_S = 100


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit code, lines of both streams."""

    code: int
    lines: Sequence[str]
    errors: Sequence[str]

    def value(self, name: str) -> str:
        """What follows a name, in the one line of either stream that begins with it."""
        found = [line for line in (*self.lines, *self.errors) if line.startswith(f"{name} ")]
        assert len(found) == 1, f"{name}: {self}"
        return found[0].removeprefix(f"{name} ")

    @property
    def sequences(self) -> Sequence[int]:
        """Numbers of the events printed."""
        return [int(line.split()[1]) for line in self.lines if line.startswith("event ")]


@dataclass(frozen=True)
class Program:
    """A built program and what each of its runs has in common."""

    client: Client
    address: str
    authority: Path
    key: str

    def run(self, plan: Path, output: Path, *more: str, timeout_s: float = RUN_S) -> Outcome:
        """Runs it to its end. The key is in no line that it prints."""
        argv = [
            *self.client.program, "--address", self.address, "--ca-file", str(self.authority), "--plan", str(plan),
            "--output", str(output), *more,
        ]  # fmt: skip
        own = os.environ | {"SOMA_API_KEY": self.key}
        done = subprocess.run(argv, env=own, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert self.key not in done.stdout + done.stderr
        return Outcome(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def built(name: str) -> Client:
    """Gives the client of a language that is built; skips the test, or fails it in CI where the tools are there."""
    client = next(client for client in CLIENTS if client.name == name)
    if not client.is_built:
        missing = client.missing()
        if not missing and os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"clients/{name} is not built from these sources, though its tools are here")
        pytest.skip(f"clients/{name} is not built: {missing or 'run make clients'}")
    return client
