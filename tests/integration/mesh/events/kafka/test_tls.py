"""A Kafka that speaks TLS alone and asks clients for a certificate."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import SomaError
from mesh.events.bus import Record
from mesh.events.kafka import KafkaBus
from mesh.testing.contract import take
from soma_local.engines import KafkaEngine
from soma_local.pki import Pki
from soma_local.testing.engines import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import BusSettings

TOPIC = "probe.events"
BROKER, CLIENT = "gateway", "provenance"


class TlsKafka(KafkaEngine):
    """Clients come in over mutual TLS, without a password."""

    def __init__(self, home: Path, jars: Path, pki: Pki) -> None:
        super().__init__(home, jars=jars)
        self._pki = pki

    @property
    def settings(self) -> BusSettings:
        """With the client's certificate."""
        pair = self._pki.pair(CLIENT)
        changes = {
            "security_protocol": "SSL", "ca_file": self._pki.authority,
            "cert_file": pair.certificate, "key_file": pair.key,
        }  # fmt: skip
        return super().settings.model_copy(update=changes)

    def _properties(self) -> dict[str, str]:
        pair = self._pki.pair(BROKER)
        keystore = self.folder / "broker.pem"
        keystore.write_text(pair.key.read_text() + pair.certificate.read_text())
        return {
            **super()._properties(),
            "listener.security.protocol.map": "CLIENTS:SSL,CONTROLLER:SASL_PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._pki.authority),
            "ssl.client.auth": "required",
        }


@pytest.fixture(scope="module")
async def tls_settings(kafka_jars: Path) -> AsyncIterator[BusSettings]:
    folder = Path(tempfile.mkdtemp(prefix="soma-test-"))
    pki = Pki(folder / "pki", SystemClock())
    pki.ensure([BROKER, CLIENT])
    try:
        async with running(TlsKafka(folder, kafka_jars, pki)) as engine:
            yield engine.settings
    finally:
        shutil.rmtree(folder)


async def test_a_client_with_a_certificate_publishes_and_reads(tls_settings: BusSettings) -> None:
    async with KafkaBus(tls_settings, topics=[TOPIC]) as bus, bus.subscribe("g", [TOPIC]) as member:
        await bus.publish([Record(TOPIC, "k", "e", b"v")])
        assert [delivery.value for delivery in await take(member, 1)] == [b"v"]


@pytest.mark.parametrize("missing", [("cert_file", "key_file"), ("ca_file",)])
async def test_a_client_without_is_refused(tls_settings: BusSettings, missing: tuple[str, ...]) -> None:
    stranger = tls_settings.model_copy(update=dict.fromkeys(missing))
    async with KafkaBus(stranger) as bus:
        with pytest.raises(SomaError):
            await bus.epoch()
