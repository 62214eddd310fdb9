"""Apache Kafka: one node that is broker and controller, on Java from a wheel."""

from __future__ import annotations

import asyncio
import base64
import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

from pydantic import SecretStr

from mesh.errors import SomaError
from mesh.settings import BusSettings
from soma_local import locate
from soma_local.engines.base import Engine, engine_environ
from soma_local.home import write_private
from soma_local.ports import LOOPBACK
from soma_local.program import Command, ProgramFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home

_USERNAME = "soma"
_JVM_OPTIONS = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_LOGGING = "-Dorg.slf4j.simpleLogger."
_READY_TIMEOUT_S = 5.0
_FORMAT_TIMEOUT_S = 60.0
_JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"


class KafkaEngine(Engine):
    """Kafka in KRaft mode with a generated password. Acknowledged records survive kill -9.

    `jars` is the folder of its jars; None stands for the home's cache, fetched on first use.
    """

    title: ClassVar[str] = "kafka"
    stop_grace_s = 20.0

    def __init__(self, home: Path | Home, port: int = 0, *, jars: Path | None = None) -> None:
        super().__init__(home, port)
        self._jars = jars

    @property
    def settings(self) -> BusSettings:
        """The settings of a client; topics have one replica."""
        return BusSettings(
            kind="kafka",
            bootstrap_servers=(self.address,),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username=_USERNAME,
            sasl_password=SecretStr(self._password),
            replication_factor=1,
            min_insync_replicas=1,
            profile="dev",
        )

    async def prepare(self) -> None:
        """Finds the jars, allocates the ports, writes the configuration, formats the storage on first start."""
        await super().prepare()
        if self._jars is None:
            self._jars = (await asyncio.to_thread(locate.kafka_jars, self._home)).path
        self._controller = self._persistent_port("controller")
        write_private(self._config, "".join(f"{name}={value}\n" for name, value in self._properties().items()))
        if not self._formatted.exists():
            await self._format()

    def command(self) -> Command:
        """Returns the command of the broker."""
        return Command(self._java("kafka.Kafka", str(self._config)), engine_environ(), folder=self.folder)

    async def ready(self) -> bool:
        """Returns whether an authenticated client gets a response."""
        from mesh.events.kafka import cluster_id

        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                _, writer = await asyncio.open_connection(LOOPBACK, self.port)
                writer.close()
                return bool(await cluster_id(self.settings))
        except (SomaError, OSError):
            return False

    def wipe(self) -> None:
        """Marks the storage as unformatted: the next start formats a new cluster. Raises while the engine runs."""
        if self.pid is not None:
            raise ProgramFailedError("kafka runs: stop it before its data is removed")
        self._formatted.unlink(missing_ok=True)

    def _properties(self) -> dict[str, str]:
        login = f'{_JAAS} username="{_USERNAME}" password="{self._password}" user_{_USERNAME}="{self._password}";'
        listeners = {"CLIENTS": self.port, "CONTROLLER": self._controller}
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller}",
            "listeners": ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in listeners.items()),
            "advertised.listeners": f"CLIENTS://{LOOPBACK}:{self.port}",
            "inter.broker.listener.name": "CLIENTS",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(f"{name}:SASL_PLAINTEXT" for name in listeners),
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            **{f"listener.name.{name.lower()}.plain.sasl.jaas.config": login for name in listeners},
            "log.dirs": str(self._storage),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # After a kill the node waits for its own earlier registration to expire.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "1000",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": str(16 << 20),
            "num.network.threads": "2",
            "num.io.threads": "2",
        }

    async def _format(self) -> None:
        """Creates the storage of a new cluster; a kill in the middle leaves it unformatted."""
        shutil.rmtree(self._storage, ignore_errors=True)
        argv = self._java(
            "kafka.tools.StorageTool", "format", f"--cluster-id={_new_cluster_id()}", "-c", str(self._config)
        )
        result = await asyncio.to_thread(
            subprocess.run, argv, env=engine_environ(), cwd=self.folder, capture_output=True, text=True, check=False,
            timeout=_FORMAT_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if result.returncode != 0:
            raise ProgramFailedError(f"kafka's storage could not be formatted:\n{result.stderr.strip()[-2000:]}")
        self._formatted.touch()

    def _java(self, *arguments: str) -> list[str]:
        level = (f"{_LOGGING}defaultLogLevel=warn", f"{_LOGGING}showDateTime=true")
        return [str(locate.java().path), *_JVM_OPTIONS, *level, "-cp", f"{self._jars}/*", *arguments]

    @property
    def _password(self) -> str:
        return self._home.secret("kafka")

    @property
    def _config(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _storage(self) -> Path:
        return self.folder / "log"

    @property
    def _formatted(self) -> Path:
        return self.folder / "formatted"


def _new_cluster_id() -> str:
    """Returns a cluster id in Kafka's format: 16 random bytes as URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
