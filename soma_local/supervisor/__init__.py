"""Supervises the programs of a local mesh and publishes their state."""

from __future__ import annotations

from soma_local.supervisor.backoff import Backoff
from soma_local.supervisor.state import (
    AlreadyRunningError,
    HomeLock,
    MeshState,
    Phase,
    ProgramState,
    ProgramStatus,
    StateFile,
)
from soma_local.supervisor.supervisor import Supervisor

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
