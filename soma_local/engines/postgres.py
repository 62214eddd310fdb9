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

from soma_local.engines.base import Engine, plain_environ
from soma_local.home import write_private
from soma_local.identity import ProcessIdentity
from soma_local.locate import engines as locate
from soma_local.ports import LOOPBACK
from soma_local.program import Command, ProgramFailedError, User

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home

_SUPERUSER = "soma_owner"
_ATTEMPTS = 5
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
_FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresEngine(Engine):
    """Postgres over TCP with SCRAM passwords; never as root; SIGINT stops it (fast shutdown).

    One that is not durable is stopped at once, by SIGQUIT: writing everything out takes long, and nobody reads it.
    """

    title: ClassVar[str] = "postgres"
    stop_grace_s = 15.0

    def __init__(self, home: Path | Home, port: int = 0, *, durable: bool = True) -> None:
        super().__init__(home, port)
        self._settings = _SETTINGS if durable else {**_SETTINGS, **_FAST_SETTINGS}
        self.stop_signal = signal.SIGINT if durable else signal.SIGQUIT

    @property
    def dsn(self) -> str:
        """Connection string of the superuser to the maintenance database."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str, user: str = _SUPERUSER, password: str | None = None) -> str:
        """Connection string to a database, of the superuser unless said otherwise."""
        secret = password if password is not None else self._home.secret("postgres")
        return f"postgresql://{user}:{secret}@{LOOPBACK}:{self.port}/{database}?sslmode=disable"

    async def prepare(self) -> None:
        """Make the cluster on first start; remove the lock of a server that died."""
        await super().prepare()
        if self._user is not None:
            os.chown(self.folder, self._user.uid, self._user.gid)
        if not (self._cluster / "PG_VERSION").exists():
            await self._initialise()
        await self._clear_stale_lock()

    async def start(self) -> None:
        """Start; wait out the last server's children, which hold its shared memory for a moment after a kill."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await super().start()
            except ProgramFailedError as failure:
                if attempt == _ATTEMPTS or "shared memory" not in str(failure):
                    raise
                await asyncio.sleep(0.3 * attempt)
        return None

    def command(self) -> Command:
        """Run the server on its cluster."""
        server = locate.postgres().path
        settings = {
            **self._settings,
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = [str(server), "-D", str(self._cluster), *options]
        return Command(argv, plain_environ(), user=self._user, reach=(server, self._cluster))

    async def ready(self) -> bool:
        """Say whether a session can be opened."""
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
        """The user to become, where we are root: Postgres refuses to run as root."""
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
        """Run initdb beside its final place and move the finished cluster there: a kill leaves no half of one."""
        fresh = self.folder / "cluster.new"
        password = self.folder / "password"
        shutil.rmtree(fresh, ignore_errors=True)
        write_private(password, self._home.secret("postgres"))
        if self._user is not None:
            os.chown(password, self._user.uid, self._user.gid)
        initdb = locate.postgres().path.with_name("initdb")
        argv = [
            str(initdb), "-D", str(fresh), f"--username={_SUPERUSER}", f"--pwfile={password}", "--encoding=UTF8",
            "--auth=scram-sha-256", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        ]  # fmt: skip
        try:
            await self._run_initdb(argv, initdb)
            fresh.rename(self._cluster)
        finally:
            password.unlink(missing_ok=True)

    async def _run_initdb(self, argv: list[str], initdb: Path) -> None:
        command = self.wrap(Command(argv, plain_environ(), user=self._user, reach=(initdb, self.folder)))
        result = await asyncio.to_thread(
            subprocess.run, command, env=plain_environ(), cwd="/", capture_output=True, text=True, check=False,
            timeout=self.start_timeout_s, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if result.returncode != 0:
            raise ProgramFailedError(f"initdb failed with status {result.returncode}:\n{result.stderr.strip()}")

    async def _clear_stale_lock(self) -> None:
        """Remove `postmaster.pid` where its pid belongs to another program by now, which Postgres itself cannot tell.

        One that a crash of the machine left empty goes, too: Postgres refuses to start over it.
        """
        lock = self._cluster / "postmaster.pid"
        if not lock.exists():
            return
        first = next(iter(lock.read_text(encoding="utf-8", errors="replace").split()), "")
        pid = int(first) if first.isdecimal() else 0
        server = ProcessIdentity.of(pid)
        try:
            ours = str(self._cluster) in psutil.Process(pid).cmdline()
        except psutil.Error:
            ours = False
        if server is not None and ours:
            await server.end(self.stop_signal, self.stop_grace_s)
        lock.unlink(missing_ok=True)
