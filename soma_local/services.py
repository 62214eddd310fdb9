"""The services of the mesh as programs: one process for all contexts, or processes for each."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soma_local import environment
from soma_local.ports import LOOPBACK
from soma_local.program import Command, Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_local.environment import ServicePorts
    from soma_local.home import Home

ALL_IN_ONE = "services"
_CONNECT_TIMEOUT_S = 2.0


class ServiceProcess(Program):
    """A process that serves contexts; ready when each of them listens."""

    start_timeout_s = 90.0
    stop_grace_s = 30.0  # services drain their calls first

    def __init__(  # noqa: PLR0917 - its dependencies
        self,
        name: str,
        home: Home,
        contexts: Sequence[str],
        values: Mapping[str, str],
        ports: ServicePorts,
        replica: int = 0,
    ) -> None:
        super().__init__(name, home)
        self._contexts = contexts
        self._values = values
        self._ports = ports
        self._replica = replica

    @property
    def address(self) -> str:
        """The address of the context; empty when the process serves several."""
        return f"{LOOPBACK}:{self._port(self._contexts[0])}" if len(self._contexts) == 1 else ""

    def command(self) -> Command:
        """Returns the command that serves the contexts with this Python."""
        environ = environment.process_environ(self._values, self._ports, self._contexts, replica=self._replica)
        return Command([sys.executable, "-m", "soma_local.serve", *self._contexts], environ, folder=Path.cwd())

    async def ready(self) -> bool:
        """Returns whether every context listens."""
        listening = await asyncio.gather(*(_listens(self._port(context)) for context in self._contexts))
        return all(listening)

    def _port(self, context: str) -> int:
        return self._ports.grpc[context][self._replica]


def processes(
    home: Home,
    contexts: Sequence[str],
    values: Mapping[str, str],
    ports: ServicePorts,
    *,
    process_per_service: bool,
    replicas: int = 1,
) -> list[Program]:
    """Returns the processes that serve the contexts: one for all, or with `process_per_service` the replicas of each.

    The name of a replica ends with its number when there are several.
    """
    if not process_per_service:
        return [ServiceProcess(ALL_IN_ONE, home, list(contexts), values, ports)]
    return [
        ServiceProcess(f"svc-{name}{f'-{index + 1}' * (replicas > 1)}", home, [name], values, ports, index)
        for name in contexts
        for index in range(replicas)
    ]


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
