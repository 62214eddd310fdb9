"""The background tasks of a context, and what its health tells of them."""

from __future__ import annotations

from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.errors import SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock

STEADY_S = 60.0
"""Work of this length makes up for the crashes before it."""
CRASHES = 3
"""From so many crashes in a row a task counts as one that keeps crashing."""


@dataclass(eq=False)
class BackgroundTask:
    """One task as its supervisor sees it. `crashes` counts those in a row, `reason` tells of the last."""

    name: str
    clock: Clock
    crashes: int = 0
    crashed_at: float = 0.0
    reason: str = ""
    ended: bool = False

    def crash(self, error: BaseException) -> None:
        """Note a crash."""
        self.crashes += 1
        self.crashed_at = self.clock.monotonic()
        self.reason = error.message if isinstance(error, SomaError) else type(error).__name__

    def recover(self) -> None:
        """Note that it has worked steadily."""
        self.crashes = 0

    def failure(self) -> str:
        """Why the task is not well, "" when it is."""
        if self.ended:
            return "has ended"
        if self.crashes >= CRASHES and self.clock.monotonic() - self.crashed_at < STEADY_S:
            return f"crashed {self.crashes} times in a row: {self.reason}"
        return ""


@dataclass
class BackgroundTasks:
    """Every background task that was started while this is the current one; a name may stand for several."""

    _tasks: dict[str, list[BackgroundTask]] = field(default_factory=dict)

    def enter(self) -> None:
        """Make this the current one for what the running task, and what it starts, does from now on."""
        _current.set(self)

    def add(self, task: BackgroundTask) -> None:
        """Take in a task that begins."""
        self._tasks.setdefault(task.name, []).append(task)

    def remove(self, task: BackgroundTask) -> None:
        """Leave out a task that was ended by who began it."""
        self._tasks[task.name].remove(task)

    def names(self) -> Sequence[str]:
        """Every name that was ever taken in."""
        return tuple(self._tasks)

    def failure(self, name: str) -> str:
        """Why one of the tasks of a name is not well, "" when all are."""
        return next(filter(None, (task.failure() for task in self._tasks[name])), "")


_current: ContextVar[BackgroundTasks | None] = ContextVar("background_tasks", default=None)


def current() -> BackgroundTasks | None:
    """The one that was entered last, None outside of a context."""
    return _current.get()


def detached_context() -> Context:
    """A context for work that goes on after the request in which it begins: without its caller, its trace, its span.

    Background tasks that begin in it are told of by the same health as those that begin here.
    """
    context, known = Context(), current()
    if known is not None:
        context.run(known.enter)
    return context
