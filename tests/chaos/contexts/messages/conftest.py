"""A mesh of its own for the long run, with one process for each service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soma_local.home import Home
from soma_local.ports import free_port
from tests.e2e.conftest import RunningMesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def whole_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningMesh]:
    """As `soma up --mesh --detach` runs it; what fails is sent again once, soon."""
    monkeypatch.setenv("SA01_PROVENANCE_DEAD_LETTERS_REQUEUES", "1")
    monkeypatch.setenv("SA01_PROVENANCE_DEAD_LETTERS_FIRST_PAUSE_S", "5")
    running = RunningMesh(Home(tmp_path), free_port())
    up = running.soma("up", "--mesh", "--detach", "--port", str(running.port))
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield running
    finally:
        running.soma("down")
