"""Keeps the programs of a local mesh running and says what runs."""

from __future__ import annotations

from mesh.local.supervisor.backoff import Backoff
from mesh.local.supervisor.state import (
    AlreadyRunningError,
    HomeLock,
    MeshState,
    Phase,
    ProgramState,
    ProgramStatus,
    StateFile,
)
from mesh.local.supervisor.supervisor import Supervisor

__all__ = [
    "AlreadyRunningError",
    "Backoff",
    "HomeLock",
    "MeshState",
    "Phase",
    "ProgramState",
    "ProgramStatus",
    "StateFile",
    "Supervisor",
]
