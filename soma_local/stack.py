"""Starts and stops a local mesh: engines, provisioning, services, edge."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mesh import contexts
from mesh.stores.migrations import migrate
from soma_local import databases, environment, locate, services, vault
from soma_local.engines import KafkaEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine
from soma_local.envoy_bootstrap import Edge
from soma_local.identity import ProcessIdentity
from soma_local.locate import MissingError
from soma_local.pki import Pki
from soma_local.ports import LOOPBACK, port_is_free
from soma_local.program import ProgramFailedError, end_orphans
from soma_local.supervisor import HomeLock, MeshState, Phase, StateFile, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from mesh.contexts import ContextDeclaration
    from soma_local.home import Home

DEFAULT_EDGE_PORT = 8010
"""The default port of the edge."""
_BROWSER_WAIT_S = 60.0
_log = logging.getLogger(__name__)


class BusKind(StrEnum):
    """The event bus."""

    VALKEY = "valkey"
    KAFKA = "kafka"


@dataclass(frozen=True)
class Options:
    """How to run the mesh; `process_per_service` runs each context in a process of its own, `replicas` of them."""

    edge_port: int = DEFAULT_EDGE_PORT
    process_per_service: bool = False
    replicas: int = 1
    bus: BusKind = BusKind.VALKEY


class LocalMesh:
    """Runs the mesh in one home; `start` and `stop` once each."""

    def __init__(
        self, home: Home, options: Options, clock: Clock, pid: int, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self._home = home
        self._report = report
        self._options = options
        self._clock = clock
        self._lock = HomeLock(home)
        self._has_lock = False
        self._file = StateFile(home)
        self._supervisor = Supervisor(clock, on_change=self._write_state)
        self._phase = Phase.STARTING
        self._message = ""
        self._failure = ""
        self._browser: asyncio.Task[None] | None = None
        self._identity = ProcessIdentity.for_pid(pid)
        self._started = clock.now()
        self._pki = Pki(home.pki, clock)

    async def start(self) -> None:
        """Starts everything; raises AlreadyRunningError or ProgramFailedError, after which `stop` must be called."""
        self._lock.acquire()
        self._has_lock = True
        try:
            self._set_phase(Phase.STARTING, "ending the programs that an earlier run left")
            await end_orphans(self._home)
            self._check_edge_port()
            await self._start_all()
        except BaseExceptionGroup as group:
            self._failure = "; ".join(str(failure) for failure in group.exceptions)
            raise
        except Exception as failure:
            self._failure = str(failure)
            raise
        self._set_phase(Phase.READY)

    async def stop(self) -> None:
        """Stops everything in reverse order and unlocks the home; does nothing when `start` did not get the lock."""
        if not self._has_lock:
            return
        self._set_phase(Phase.STOPPING, self._failure)
        if self._browser is not None:
            self._browser.cancel()
        try:
            await self._supervisor.stop()
        except ProgramFailedError as failure:
            _log.error("%s", failure)
            self._failure = self._failure or str(failure)
        self._set_phase(Phase.FAILED if self._failure else Phase.STOPPED, self._failure)
        self._lock.release()
        self._has_lock = False

    async def _start_all(self) -> None:
        declarations = contexts.installed()
        names = [context.name for context in declarations]
        self._pki.ensure(names)
        home = self._home
        bus = KafkaEngine(home) if self._options.bus is BusKind.KAFKA else None
        engines = environment.Engines(
            PostgresEngine(home), ValkeyEngine(home), TemporalEngine(home), OpenBaoEngine(home), bus
        )
        self._browser = asyncio.create_task(self._find_browser())
        if bus is not None:
            self._set_phase(Phase.STARTING, "finding the jars of Kafka, or fetching them once")
            await asyncio.to_thread(locate.kafka_jars, home)
        self._set_phase(Phase.STARTING, "starting the engines")
        await self._supervisor.start(engines.all())
        self._set_phase(Phase.STARTING, "preparing databases and secrets")
        await self._provision(engines, declarations)
        ports = environment.ServicePorts.for_contexts(home, declarations, self._options.replicas)
        values = environment.shared_variables(home, engines, self._pki, ports, self._options.edge_port)
        environment.write_env_file(home, values)
        await self._wait_for(self._browser)
        self._set_phase(Phase.STARTING, "starting the services")
        options = self._options
        programs = services.processes(
            home, names, values, ports, process_per_service=options.process_per_service, replicas=options.replicas
        )
        await self._supervisor.start(programs)
        self._set_phase(Phase.STARTING, "opening the edge")
        await self._supervisor.start(
            [Edge(home, self._pki, ports.additional[environment.XDS], self._options.edge_port)]
        )

    async def _provision(self, engines: environment.Engines, declarations: Sequence[ContextDeclaration]) -> None:
        """Provisions the secret store and the databases concurrently."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._provision_secrets(engines, declarations))
            group.create_task(self._provision_databases(engines, declarations))

    async def _provision_secrets(
        self, engines: environment.Engines, declarations: Sequence[ContextDeclaration]
    ) -> None:
        async with vault.Vault.open(engines.openbao.url, engines.openbao.root_token) as store:
            await vault.provision(self._home, store, declarations)

    async def _provision_databases(
        self, engines: environment.Engines, declarations: Sequence[ContextDeclaration]
    ) -> None:
        stateful = [context for context in declarations if not context.stateless]
        await databases.provision(self._home, engines.postgres, [context.name for context in stateful])
        dsn = databases.dsn_of(self._home, engines.postgres, databases.MIGRATOR)
        async with asyncio.TaskGroup() as group:
            for context in stateful:
                folders = [context.migrations] if context.migrations is not None else []
                group.create_task(migrate(dsn, context.name, folders))

    async def _find_browser(self) -> None:
        """Fetches Chromium unless the machine has one; without it there are no screenshots."""
        try:
            await asyncio.to_thread(locate.chromium, self._home)
        except MissingError as missing:
            self._report(f"no screenshots: {missing}")

    async def _wait_for(self, browser: asyncio.Task[None]) -> None:
        """Waits a limited time for the browser, which the first job may need; the provider finds it later, too."""
        if browser.done():
            return
        self._set_phase(Phase.STARTING, "fetching Chromium once, for screenshots")
        timeout = asyncio.create_task(self._clock.sleep(_BROWSER_WAIT_S))
        await asyncio.wait({browser, timeout}, return_when=asyncio.FIRST_COMPLETED)
        timeout.cancel()

    def _check_edge_port(self) -> None:
        port = self._options.edge_port
        if not port_is_free(port):
            raise ProgramFailedError(
                f"port {port} on {LOOPBACK} is used by another program: end it, or choose one with --port"
            )

    def _set_phase(self, phase: Phase, message: str = "") -> None:
        self._phase, self._message = phase, message
        self._write_state()
        if phase is Phase.STARTING:
            self._report(message)

    def _write_state(self) -> None:
        if self._identity is None:
            raise ProgramFailedError("the supervisor's own process was not found")
        state = MeshState(
            phase=self._phase,
            supervisor=self._identity,
            started_at=self._started,
            url=f"https://{LOOPBACK}:{self._options.edge_port}",
            process_per_service=self._options.process_per_service,
            message=self._message,
            programs=self._supervisor.statuses(),
        )
        try:
            self._file.write(state)
        except OSError as failure:  # a full disk must not stop the mesh; the next change is written again
            _log.warning("the state of the mesh could not be written: %s", failure)
