"""What runs, as a file that other commands read."""

from __future__ import annotations

import fcntl
from datetime import datetime  # noqa: TC003 - pydantic reads the annotation
from enum import StrEnum
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from soma_local.home import write_private
from soma_local.identity import ProcessIdentity  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from soma_local.home import Home


class Phase(StrEnum):
    """Where the mesh is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProgramState(StrEnum):
    """Where one program is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"


class ProgramStatus(BaseModel):
    """One program of the mesh."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ProgramState
    pid: int | None = None
    address: str = ""
    restarts: int = 0
    last_exit: int | None = None
    log_file: str = ""


class MeshState(BaseModel):
    """The whole mesh."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    supervisor: ProcessIdentity
    started_at: datetime
    url: str
    mesh: bool = False
    message: str = ""
    programs: tuple[ProgramStatus, ...] = ()


class StateFile:
    """The state file of a home."""

    def __init__(self, home: Home) -> None:
        self._path = home.run / "state.json"

    def write(self, state: MeshState) -> None:
        """Replace the state in one step."""
        write_private(self._path, state.model_dump_json(indent=2))

    def read(self) -> MeshState | None:
        """Give the state last written, None when there is none.

        What a dead supervisor left says FAILED, and that its programs, which ended with it, are STOPPED.
        """
        if not self._path.exists():
            return None
        try:
            state = MeshState.model_validate_json(self._path.read_text(encoding="utf-8"))
        except ValidationError:  # written by another version: as good as none
            return None
        if state.phase in {Phase.STARTING, Phase.READY, Phase.STOPPING} and not state.supervisor.alive():
            programs = tuple(
                one.model_copy(update={"state": ProgramState.STOPPED, "pid": None}) for one in state.programs
            )
            message = "the supervisor was killed"
            return state.model_copy(update={"phase": Phase.FAILED, "message": message, "programs": programs})
        return state

    def running(self) -> MeshState | None:
        """Give the state of a mesh that runs now, or None."""
        state = self.read()
        return state if state is not None and state.phase in {Phase.STARTING, Phase.READY, Phase.STOPPING} else None


class AlreadyRunningError(Exception):
    """Another supervisor holds this home."""


class HomeLock:
    """Makes one supervisor alone own a home; the system releases it however the holder ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; raise AlreadyRunningError when it is held."""
        self._home.create()
        file = (self._home.run / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunningError(f"a mesh already runs in {self._home.root}") from None
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
