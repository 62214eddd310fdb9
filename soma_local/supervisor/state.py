"""The state of the mesh in a file that other commands read, and the lock of its home."""

from __future__ import annotations

import fcntl
from datetime import datetime  # noqa: TC003 - pydantic reads the annotation
from enum import StrEnum
from typing import IO, TYPE_CHECKING

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from soma_local.home import write_private
from soma_local.identity import ProcessIdentity  # noqa: TC001 - pydantic reads the annotation

if TYPE_CHECKING:
    from soma_local.home import Home


class Phase(StrEnum):
    """The lifecycle phase of the mesh."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class ProgramState(StrEnum):
    """The lifecycle state of a program; WAITING is the backoff before a restart."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"


class ProgramStatus(BaseModel):
    """The status of one program."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ProgramState
    pid: int | None = None
    address: str = ""
    restarts: int = 0
    last_exit: int | None = None
    log_file: str = ""


class MeshState(BaseModel):
    """The state of the mesh and its programs."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    supervisor: ProcessIdentity
    started_at: datetime
    url: str
    process_per_service: bool = Field(
        default=False, validation_alias=AliasChoices("mesh", "process_per_service"), serialization_alias="mesh"
    )
    """Whether each service runs in processes of its own. The stored key is `mesh`, like the option."""
    message: str = ""
    programs: tuple[ProgramStatus, ...] = ()


class StateFile:
    """The state file of a home."""

    def __init__(self, home: Home) -> None:
        self._path = home.run / "state.json"

    def write(self, state: MeshState) -> None:
        """Replaces the state atomically."""
        write_private(self._path, state.model_dump_json(indent=2, by_alias=True))

    def read(self) -> MeshState | None:
        """Returns the last state, None when there is none.

        After a killed supervisor, whose programs ended with it, the phase is FAILED and the programs are STOPPED.
        """
        if not self._path.exists():
            return None
        try:
            state = MeshState.model_validate_json(self._path.read_text(encoding="utf-8"))
        except ValidationError:  # written by another version
            return None
        if state.phase in {Phase.STARTING, Phase.READY, Phase.STOPPING} and not state.supervisor.alive():
            programs = tuple(
                program.model_copy(update={"state": ProgramState.STOPPED, "pid": None}) for program in state.programs
            )
            message = "the supervisor was killed"
            return state.model_copy(update={"phase": Phase.FAILED, "message": message, "programs": programs})
        return state

    def running(self) -> MeshState | None:
        """Returns the state of a running mesh, else None."""
        state = self.read()
        return state if state is not None and state.phase in {Phase.STARTING, Phase.READY, Phase.STOPPING} else None


class AlreadyRunningError(Exception):
    """Another supervisor holds the lock of this home."""


class HomeLock:
    """The lock by which a home has one supervisor; the kernel releases it when the process ends."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Acquires the lock; raises AlreadyRunningError when it is held."""
        self._home.create()
        file = (self._home.run / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunningError(f"a mesh already runs in {self._home.root}") from None
        self._file = file

    def release(self) -> None:
        """Releases the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
