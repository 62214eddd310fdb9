"""Engines and databases that tests ask for by name. An engine starts when the first test wants it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import hypothesis
import pytest

from mesh.ids import SystemIds
from mesh.settings import BusSettings, PostgresSettings, TemporalSettings, ValkeySettings, VaultSettings
from mesh.stores import valkey as valkey_store
from mesh.stores.postgres import Postgres
from soma_cli.commands.mesh import UP_WITH
from soma_local import locate
from soma_local.locate import Browser, MissingError
from soma_local.testing import engines
from tests import watchdog as watchdogs
from tests.scheduling import ByFixture
from tests.statements.plugin import Statements, wanted

if TYPE_CHECKING:
    import redis.asyncio
    from xdist.remote import Producer

    from soma_local.engines import KafkaEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine

Database = Callable[..., Awaitable[PostgresSettings]]
ROOT = Path(__file__).parent.parent
# A busy machine takes its time over an example.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--explain", action="store_true", help="explain the statements that the tests send, and fail on growth"
    )


def pytest_configure(config: pytest.Config) -> None:
    """What tests start ends with them, also when they are killed: engines by themselves, meshes by this."""
    os.environ[UP_WITH] = str(os.getpid())
    if wanted(config):
        config.pluginmanager.register(Statements(config), "soma-statements")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFixture:
    return ByFixture(config, log)


@pytest.fixture(scope="session", autouse=True)
def watchdog() -> Iterator[None]:
    """Raises where our code blocks an event loop."""
    with watchdogs.watching():
        yield


@pytest.fixture(autouse=True)
def _blocks_nothing() -> Iterator[None]:
    """Fails a test in which our code blocked an event loop, whatever became of the error."""
    before = len(watchdogs.FoundError.calls)
    yield
    assert not watchdogs.FoundError.calls[before:]


@pytest.fixture(scope="session")
async def postgres_engine() -> AsyncIterator[PostgresEngine]:
    async with engines.postgres_engine() as engine:
        connection = await asyncpg.connect(engine.dsn)
        # The deadlocks that tests bring about are found at once, not after a second each.
        await connection.execute("ALTER SYSTEM SET deadlock_timeout = '50ms'")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()
        yield engine


@pytest.fixture(scope="session")
async def valkey_engine() -> AsyncIterator[ValkeyEngine]:
    async with engines.valkey_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
async def temporal_engine() -> AsyncIterator[TemporalEngine]:
    async with engines.temporal_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
async def openbao_engine() -> AsyncIterator[OpenBaoEngine]:
    async with engines.openbao_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Folder of Kafka's jars, fetched once. Where they cannot be had its tests are skipped, but never in CI."""
    try:
        return locate.kafka_jars().path
    except MissingError as missing:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"CI must test against Kafka: {missing}")
        pytest.skip(f"no Kafka here: {missing}")


@pytest.fixture(scope="session")
async def kafka_engine(kafka_jars: Path) -> AsyncIterator[KafkaEngine]:
    async with engines.kafka_engine(kafka_jars) as engine:
        yield engine


@pytest.fixture(scope="session")
def chromium() -> Browser:
    """The browser of whatever takes screenshots, fetched where the machine has none."""
    return locate.chromium()


@pytest.fixture(scope="session")
async def databases(postgres_engine: PostgresEngine) -> engines.Databases:
    """Makes databases from migrated templates."""
    return engines.Databases(postgres_engine)


@pytest.fixture
def database(databases: engines.Databases) -> Database:
    """`await database("registry")` gives settings of a fresh database that holds that context's migrated schema.

    The folders of migrations are `svc_<context>/migrations` unless others are given; keywords override pool settings.
    """

    async def fresh(schema: str, *folders: Path, **pool: float) -> PostgresSettings:
        own = ROOT / f"svc_{schema}" / "migrations"
        return await databases.fresh(schema, folders or ([own] if own.is_dir() else []), **pool)

    return fresh


@pytest.fixture
async def postgres(database: Database) -> AsyncIterator[Postgres]:
    """A fresh database with nothing but the event tables, in a schema named `probe`."""
    async with Postgres.open(await database("probe")) as opened:
        yield opened


@pytest.fixture
def valkey_settings(valkey_engine: ValkeyEngine) -> ValkeySettings:
    """How to reach the Valkey that all tests share: choose keys of your own."""
    return engines.valkey_settings(valkey_engine)


@pytest.fixture
async def valkey(valkey_settings: ValkeySettings) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the Valkey that all tests share, emptied first."""
    async with valkey_store.open(valkey_settings) as client:
        await client.flushall()
        yield client


@pytest.fixture
def kafka(kafka_engine: KafkaEngine) -> BusSettings:
    """How to reach the Kafka that all tests share, with topics and groups of this test alone."""
    return kafka_engine.settings.model_copy(update={"prefix": f"{SystemIds().new()}."})


@pytest.fixture
def temporal_settings(temporal_engine: TemporalEngine) -> TemporalSettings:
    """How to reach the Temporal server that all tests share: choose task queues and workflow ids of your own."""
    return engines.temporal_settings(temporal_engine)


@pytest.fixture
def vault_settings(openbao_engine: OpenBaoEngine, tmp_path: Path) -> VaultSettings:
    """How to reach the secret store that all tests share, with a token that may do everything."""
    return engines.vault_settings(openbao_engine, tmp_path)
