"""Notes the statements that the contexts send while tests run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany", "cursor", "prepare")
_READS_OR_WRITES = re.compile(r"^\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_ROOT = Path(__file__).parents[2]
_OURS = tuple(str(_ROOT / name) for name in ("svc_", "mesh", "soma_local"))
_OF_TESTS = tuple(str(_ROOT / name / "testing") for name in ("mesh", "soma_local"))
_DRIVER = str(Path(asyncpg.__file__).parent)
_PREFIX = "soma-"


class Recorder:
    """The statements of each schema, once. What tests send by themselves does not count."""

    def __init__(self) -> None:
        self.statements: set[tuple[str, str]] = set()

    def attach(self) -> None:
        """Listens to every connection of this process from now on."""
        for name in METHODS:
            setattr(asyncpg.Connection, name, self._noting(getattr(asyncpg.Connection, name)))

    def _noting(self, send: Callable[..., object]) -> Callable[..., object]:
        def noting(connection: asyncpg.Connection, query: object, *args: object, **kwargs: object) -> object:
            if isinstance(query, str) and _READS_OR_WRITES.match(query) and _sender().startswith(_OURS):
                self.statements.add((_schema(connection), query))
            return send(connection, query, *args, **kwargs)

        return noting


def _sender() -> str:
    """The file that sends a statement: the first one on the stack that is not the driver's or this one."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_DRIVER):
        frame = frame.f_back
    name = frame.f_code.co_filename
    return "" if name.startswith(_OF_TESTS) else name


def _schema(connection: asyncpg.Connection) -> str:
    """The schema of a connection, from the name that its pool gives to the server."""
    settings = connection._params.server_settings or {}
    return str(settings.get("application_name", "")).removeprefix(_PREFIX)
