"""Postgres with pgvector, from a wheel."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, ClassVar

import asyncpg
import psutil

from soma_local.engines.base import Engine, engine_environ
from soma_local.home import write_private
from soma_local.identity import ProcessIdentity
from soma_local.locate import engines as locate
from soma_local.ports import LOOPBACK
from soma_local.program import Command, ProgramFailedError, User

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home

_SUPERUSER = "soma_owner"
_START_ATTEMPTS = 5
_SETTINGS = {
    "max_connections": "160",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "max_wal_size": "256MB",
    "password_encryption": "scram-sha-256",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests: a crash of the machine may lose data, a crash of the server does not.
_NON_DURABLE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresEngine(Engine):
    """Postgres over TCP with SCRAM passwords; never as root; SIGINT stops it (fast shutdown).

    One that is not durable is stopped by SIGQUIT (immediate shutdown), without a checkpoint.
    """

    title: ClassVar[str] = "postgres"
    stop_grace_s = 15.0

    def __init__(self, home: Path | Home, port: int = 0, *, durable: bool = True) -> None:
        super().__init__(home, port)
        self._settings = _SETTINGS if durable else {**_SETTINGS, **_NON_DURABLE_SETTINGS}
        self.stop_signal = signal.SIGINT if durable else signal.SIGQUIT

    @property
    def dsn(self) -> str:
        """The connection string of the superuser for the maintenance database."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str, user: str = _SUPERUSER, password: str | None = None) -> str:
        """Returns the connection string of a user, by default the superuser, for a database."""
        secret = password if password is not None else self._home.secret("postgres")
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    async def prepare(self) -> None:
        """Creates the cluster on first start; removes a stale lock file."""
        await super().prepare()
        if self._user is not None:
            os.chown(self.folder, self._user.uid, self._user.gid)
        if not (self._cluster / "PG_VERSION").exists():
            await self._initialise()
        await self._remove_stale_lock()

    async def start(self) -> None:
        """Starts the server; retries while processes of a killed one still hold its shared memory."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                return await super().start()
            except ProgramFailedError as failure:
                if attempt == _START_ATTEMPTS or "shared memory" not in str(failure):
                    raise
                await asyncio.sleep(0.3 * attempt)
        return None

    def command(self) -> Command:
        """Returns the command of the server."""
        server = locate.postgres().path
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        argv = [str(server), "-D", str(self._cluster), *options]
        return Command(argv, engine_environ(), user=self._user, reachable=(server, self._cluster))

    async def ready(self) -> bool:
        """Returns whether the server accepts a connection."""
        try:
            connection = await asyncpg.connect(self.dsn, timeout=5)
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, TimeoutError):
            return False
        await connection.close()
        return True

    @property
    def _cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def _user(self) -> User | None:
        """The user of the server when this process runs as root, as which Postgres refuses to run."""
        if os.geteuid() != 0:
            return None
        if self.folder.exists() and self.folder.stat().st_uid != 0:
            status = self.folder.stat()
            return User(status.st_uid, status.st_gid)
        for name in ("postgres", "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return User(entry.pw_uid, entry.pw_gid)
        raise ProgramFailedError("postgres cannot run as root and this system has neither a user postgres nor nobody")

    async def _initialise(self) -> None:
        """Runs initdb in a temporary folder and renames that, so that a kill leaves no incomplete cluster."""
        new_cluster = self.folder / "cluster.new"
        password = self.folder / "password"
        shutil.rmtree(new_cluster, ignore_errors=True)
        write_private(password, self._home.secret("postgres"))
        if self._user is not None:
            os.chown(password, self._user.uid, self._user.gid)
        initdb = locate.postgres().path.with_name("initdb")
        argv = [
            str(initdb), "-D", str(new_cluster), f"--username={_SUPERUSER}", f"--pwfile={password}", "--encoding=UTF8",
            "--auth=scram-sha-256", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        ]  # fmt: skip
        try:
            await self._run_initdb(argv, initdb)
            new_cluster.rename(self._cluster)
        finally:
            password.unlink(missing_ok=True)

    async def _run_initdb(self, argv: list[str], initdb: Path) -> None:
        command = self.wrap(Command(argv, engine_environ(), user=self._user, reachable=(initdb, self.folder)))
        result = await asyncio.to_thread(
            subprocess.run, command, env=engine_environ(), cwd="/", capture_output=True, text=True, check=False,
            timeout=self.start_timeout_s, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if result.returncode != 0:
            raise ProgramFailedError(f"initdb failed with status {result.returncode}:\n{result.stderr.strip()}")

    async def _remove_stale_lock(self) -> None:
        """Removes `postmaster.pid` after ending the server of its pid, if that still runs.

        Postgres refuses to start when the pid belongs to another program by now, or when the file is empty, as after a
        crash of the machine.
        """
        lock = self._cluster / "postmaster.pid"
        if not lock.exists():
            return
        first = next(iter(lock.read_text(encoding="utf-8", errors="replace").split()), "")
        pid = int(first) if first.isdecimal() else 0
        server = ProcessIdentity.for_pid(pid)
        try:
            is_server = str(self._cluster) in psutil.Process(pid).cmdline()
        except psutil.Error:
            is_server = False
        if server is not None and is_server:
            await server.end(self.stop_signal, self.stop_grace_s)
        lock.unlink(missing_ok=True)
