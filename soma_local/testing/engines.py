"""Temporary engines for tests, and new databases in milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import psutil
from pydantic import SecretStr

from mesh.settings import PostgresSettings, TemporalSettings, ValkeySettings, VaultSettings
from mesh.stores.migrations import common_migrations, migrate
from soma_local.engines import KafkaEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from soma_local.engines import Engine

E = TypeVar("E", bound="Engine")
ENGINE_START_S = 240.0
_PREFIX = "soma-test-"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only folders of its own are created in it
_MIN_FREE_BYTES = 8 << 30
_MIGRATOR = "plain_migrator"
_PASSWORD = "throw-away"  # noqa: S105 - of an engine that lives in a temporary folder


@asynccontextmanager
async def running(engine: E) -> AsyncIterator[E]:
    """Runs an engine within the block; on a busy machine its start may take minutes."""
    engine.start_timeout_s = ENGINE_START_S
    try:
        async with asyncio.timeout(2 * ENGINE_START_S):
            await engine.start()
    except TimeoutError:
        raise AssertionError(f"{engine.name} did not start within {2 * ENGINE_START_S:.0f} s") from None
    try:
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def _temporary_home(within: Path | None = None) -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=within))
    lock = _try_lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _try_lock(folder: Path) -> int | None:
    """Locks a folder until this process ends and returns the descriptor; None when another process holds the lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _memory_folder() -> Path | None:
    """Returns a folder in shared memory, None when there is little memory. Removes folders that killed processes left.

    Databases are created there in an eighth of the time.
    """
    if not os.access(_SHARED_MEMORY, os.W_OK):
        return None
    for orphan in filter(Path.is_dir, _SHARED_MEMORY.glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError):  # owned by another user, or already removed
            lock = _try_lock(orphan)
            if lock is not None:
                shutil.rmtree(orphan)
                os.close(lock)
    free = min(shutil.disk_usage(_SHARED_MEMORY).free, psutil.virtual_memory().available)
    return _SHARED_MEMORY if free > _MIN_FREE_BYTES else None


@asynccontextmanager
async def postgres_engine() -> AsyncIterator[PostgresEngine]:
    """Runs a Postgres that is not durable against failures of the machine."""
    async with _temporary_home(_memory_folder()) as home, running(PostgresEngine(home, durable=False)) as engine:
        yield engine


@asynccontextmanager
async def valkey_engine() -> AsyncIterator[ValkeyEngine]:
    """Runs a Valkey."""
    async with _temporary_home() as home, running(ValkeyEngine(home)) as engine:
        yield engine


@asynccontextmanager
async def temporal_engine() -> AsyncIterator[TemporalEngine]:
    """Runs a Temporal development server."""
    async with _temporary_home() as home, running(TemporalEngine(home)) as engine:
        yield engine


@asynccontextmanager
async def openbao_engine() -> AsyncIterator[OpenBaoEngine]:
    """Runs an OpenBao with the secrets engines `secret` (KV v2) and `transit` mounted."""
    from soma_local.vault import Vault

    async with _temporary_home() as home, running(OpenBaoEngine(home)) as engine:
        async with Vault.open(engine.url, engine.root_token) as vault:
            await vault.ensure_mount("secret", "kv", {"version": "2"})
            await vault.ensure_mount("transit", "transit")
        yield engine


@asynccontextmanager
async def kafka_engine(jars: Path) -> AsyncIterator[KafkaEngine]:
    """Runs a Kafka of one node."""
    async with _temporary_home() as home, running(KafkaEngine(home, jars=jars)) as engine:
        yield engine


def valkey_settings(engine: ValkeyEngine) -> ValkeySettings:
    """Returns the settings of a client of the engine."""
    return ValkeySettings(url=SecretStr(engine.url))


def temporal_settings(engine: TemporalEngine) -> TemporalSettings:
    """Returns the settings of a client of the engine."""
    return TemporalSettings(address=engine.address)


def vault_settings(engine: OpenBaoEngine, folder: Path) -> VaultSettings:
    """Returns the settings of a client with the root token, which is written to `folder`."""
    file = folder / "vault-token"
    file.write_text(engine.root_token, encoding="utf-8")
    return VaultSettings(address=engine.url, token_file=file)


class Databases:
    """Creates databases of one engine: each set of migrations runs once, every other database is a copy."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._templates: dict[str, str] = {}
        self._count = 0

    async def fresh(self, schema: str, folders: Sequence[Path] = (), **pool: float) -> PostgresSettings:
        """Creates a database with the migrated schema of a context; returns the settings of the context's role.

        `pool` overrides fields such as `pool_max`. The tables of events are always included.
        """
        digest = _digest(schema, folders)
        if digest not in self._templates:
            self._templates[digest] = await self._migrated(schema, folders)
        name = await self._create(f'TEMPLATE "{self._templates[digest]}"')
        return self.settings(name, schema, **pool)

    async def empty(self) -> str:
        """Creates an empty database; returns the connection string of its owner."""
        return self._engine.dsn_of(await self._create(""))

    async def plain(self, schema: str) -> str:
        """Creates a database with an empty schema like `soma up`; returns the connection string of the migrating role.

        That role owns the schema and is no superuser, so that row-level security applies to it.
        """
        name = await self._create("")
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(self._engine.dsn_of(name))
            stack.push_async_callback(connection.close)
            for role in (_MIGRATOR, schema):
                if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                    await connection.execute(f"CREATE ROLE \"{role}\" LOGIN NOBYPASSRLS PASSWORD '{_PASSWORD}'")
            await connection.execute(f'CREATE SCHEMA "{schema}" AUTHORIZATION "{_MIGRATOR}"')
        return self._engine.dsn_of(name, _MIGRATOR, _PASSWORD)

    def settings(self, database: str, schema: str, **pool: float) -> PostgresSettings:
        """Returns the settings of a context's role in a database."""
        dsn = self._engine.dsn_of(database, schema, _PASSWORD)
        return PostgresSettings.model_validate({"dsn": SecretStr(dsn), "schema_name": schema, **pool})

    def owner_dsn(self, settings: PostgresSettings) -> str:
        """Returns the connection string of the superuser for the database of the settings."""
        database = settings.dsn.get_secret_value().rpartition("/")[2].partition("?")[0]
        return self._engine.dsn_of(database)

    async def _migrated(self, schema: str, folders: Sequence[Path]) -> str:
        name = await self._create("")
        dsn = self._engine.dsn_of(name)
        await migrate(dsn, schema, folders, password=_PASSWORD)
        return name

    async def _create(self, options: str) -> str:
        self._count += 1
        name = f"test_{self._count}"
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(self._engine.dsn)
            stack.push_async_callback(connection.close)
            await connection.execute(f'CREATE DATABASE "{name}" {options}')
        return name


def _digest(schema: str, folders: Sequence[Path]) -> str:
    digest = hashlib.sha256(schema.encode())
    for folder in (*common_migrations(), *folders):
        for file in sorted(folder.glob("*.sql")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
