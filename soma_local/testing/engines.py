"""Throw-away engines for tests, and fresh databases in milliseconds."""

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
_SHARED = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
_ROOM = 8 << 30
_MIGRATOR = "plain_migrator"
_PASSWORD = "throw-away"  # noqa: S105 - of an engine that lives in a temporary folder


@asynccontextmanager
async def running(engine: E) -> AsyncIterator[E]:
    """Start an engine, for which a busy machine may need minutes, and stop it at the end."""
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
async def _home(within: Path | None = None) -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=within))
    held = _claim(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _claim(folder: Path) -> int | None:
    """A lock on the folder that ends with this process; None while another one holds it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return None
    return opened


def _memory() -> Path | None:
    """A folder in the machine's memory, None where there is little of it.

    Hundreds of small databases are made there in an eighth of the time. What killed processes left in it is removed.
    """
    if not os.access(_SHARED, os.W_OK):
        return None
    for left in filter(Path.is_dir, _SHARED.glob(f"{_PREFIX}*")):
        with contextlib.suppress(OSError):  # another user's, or gone meanwhile
            held = _claim(left)
            if held is not None:
                shutil.rmtree(left)
                os.close(held)
    free = min(shutil.disk_usage(_SHARED).free, psutil.virtual_memory().available)
    return _SHARED if free > _ROOM else None


@asynccontextmanager
async def postgres_engine() -> AsyncIterator[PostgresEngine]:
    """A Postgres that may forget what it was told when the machine fails."""
    async with _home(_memory()) as home, running(PostgresEngine(home, durable=False)) as engine:
        yield engine


@asynccontextmanager
async def valkey_engine() -> AsyncIterator[ValkeyEngine]:
    """A Valkey."""
    async with _home() as home, running(ValkeyEngine(home)) as engine:
        yield engine


@asynccontextmanager
async def temporal_engine() -> AsyncIterator[TemporalEngine]:
    """A Temporal development server."""
    async with _home() as home, running(TemporalEngine(home)) as engine:
        yield engine


@asynccontextmanager
async def openbao_engine() -> AsyncIterator[OpenBaoEngine]:
    """An OpenBao with the engines `secret` (KV v2) and `transit` mounted."""
    from soma_local.vault import Vault

    async with _home() as home, running(OpenBaoEngine(home)) as engine:
        async with Vault.open(engine.url, engine.root_token) as vault:
            await vault.ensure_mount("secret", "kv", {"version": "2"})
            await vault.ensure_mount("transit", "transit")
        yield engine


@asynccontextmanager
async def kafka_engine(jars: Path) -> AsyncIterator[KafkaEngine]:
    """A Kafka of one node."""
    async with _home() as home, running(KafkaEngine(home, jars=jars)) as engine:
        yield engine


def valkey_settings(engine: ValkeyEngine) -> ValkeySettings:
    """Settings to reach the engine."""
    return ValkeySettings(url=SecretStr(engine.url))


def temporal_settings(engine: TemporalEngine) -> TemporalSettings:
    """Settings to reach the engine."""
    return TemporalSettings(address=engine.address)


def vault_settings(engine: OpenBaoEngine, folder: Path) -> VaultSettings:
    """Settings to reach the engine as one who may do everything; the token is written to `folder`."""
    file = folder / "vault-token"
    file.write_text(engine.root_token, encoding="utf-8")
    return VaultSettings(address=engine.url, token_file=file)


class Databases:
    """Makes databases of one engine: each set of migrations runs once, every further database is a copy."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._templates: dict[str, str] = {}
        self._made = 0

    async def fresh(self, schema: str, folders: Sequence[Path] = (), **pool: float) -> PostgresSettings:
        """A database of its own with the context's migrated schema; settings connect as the context's role.

        `pool` overrides fields such as `pool_max`. Event tables are always there.
        """
        digest = _digest(schema, folders)
        if digest not in self._templates:
            self._templates[digest] = await self._migrated(schema, folders)
        name = await self._create(f'TEMPLATE "{self._templates[digest]}"')
        return self.settings(name, schema, **pool)

    async def empty(self) -> str:
        """A database without anything in it; gives the connection string of its owner."""
        return self._engine.dsn_of(await self._create(""))

    async def plain(self, schema: str) -> str:
        """A database with an empty schema as `soma up` makes it; gives the connection string of the role that migrates.

        That role owns the schema and is no superuser, so that row-level security binds it.
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
        """Settings of a context's role in the database."""
        dsn = self._engine.dsn_of(database, schema, _PASSWORD)
        return PostgresSettings.model_validate({"dsn": SecretStr(dsn), "schema_name": schema, **pool})

    def owner_dsn(self, settings: PostgresSettings) -> str:
        """Connection string of the superuser to the database that the settings name."""
        database = settings.dsn.get_secret_value().rpartition("/")[2].partition("?")[0]
        return self._engine.dsn_of(database)

    async def _migrated(self, schema: str, folders: Sequence[Path]) -> str:
        name = await self._create("")
        dsn = self._engine.dsn_of(name)
        await migrate(dsn, schema, folders, password=_PASSWORD)
        return name

    async def _create(self, how: str) -> str:
        self._made += 1
        name = f"test_{self._made}"
        async with AsyncExitStack() as stack:
            connection = await asyncpg.connect(self._engine.dsn)
            stack.push_async_callback(connection.close)
            await connection.execute(f'CREATE DATABASE "{name}" {how}')
        return name


def _digest(schema: str, folders: Sequence[Path]) -> str:
    digest = hashlib.sha256(schema.encode())
    for folder in (*common_migrations(), *folders):
        for file in sorted(folder.glob("*.sql")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
