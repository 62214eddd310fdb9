"""Meshes with several replicas of every context."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from soma_local.home import Home
from soma_local.ports import free_port
from tests.e2e.conftest import RunningMesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _running(folder: Path, replicas: int) -> Iterator[RunningMesh]:
    running = RunningMesh(Home(folder), free_port())
    up = running.soma("up", "--mesh", "--replicas", str(replicas), "--detach", "--port", str(running.port))
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield running
    finally:
        running.soma("down")


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets background work become due within a run."""
    monkeypatch.setenv("SA01_PROVENANCE_DEAD_LETTERS_REQUEUES", "1")
    monkeypatch.setenv("SA01_PROVENANCE_DEAD_LETTERS_FIRST_PAUSE_S", "5")
    monkeypatch.setenv("SA01_AUDIT_ANCHOR_EVERY_S", "2")


@pytest.fixture
def three_of_each(tmp_path: Path, _soon: None) -> Iterator[RunningMesh]:
    """Three replicas of every context."""
    with _running(tmp_path, 3) as mesh:
        yield mesh


@pytest.fixture
def two_of_each(tmp_path: Path, _soon: None) -> Iterator[RunningMesh]:
    """Two replicas of every context, for the quick form."""
    with _running(tmp_path, 2) as mesh:
        yield mesh
