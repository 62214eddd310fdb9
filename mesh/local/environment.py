"""The settings that a local mesh gives its services, as environment variables."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.local import databases
from mesh.local.home import write_private
from mesh.local.pki import EDGE
from mesh.local.ports import LOOPBACK, free_port, port_is_free

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mesh.local.engines import Engine, KafkaEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine
    from mesh.local.home import Home
    from mesh.local.pki import Pki

# What a local mesh chooses unless the caller's environment says otherwise.
_DEFAULTS = {
    "SA01_PROFILE": "dev",
    "SA01_ENABLE_multimodal_capabilities": "true",
    "SA01_MULTIMODAL_QUALITY_GATES_ENABLED": "true",
    # Else every thread of a model or a picture library keeps a heap of its own, which nobody gives back.
    "MALLOC_ARENA_MAX": "2",
}
_METRICS = "metrics"
_XDS = "xds"
_PAGES, _ABSENT = "pages", "absent"


@dataclass(frozen=True)
class Engines:
    """The engines that services connect to."""

    postgres: PostgresEngine
    valkey: ValkeyEngine
    temporal: TemporalEngine
    openbao: OpenBaoEngine
    kafka: KafkaEngine | None = None
    """The bus; none: Valkey is."""

    def all(self) -> list[Engine]:
        """Those that run."""
        return [self.postgres, self.valkey, self.temporal, self.openbao, *([self.kafka] if self.kafka else [])]


@dataclass(frozen=True)
class ServicePorts:
    """Loopback ports of the services: gRPC and metrics by context, and the control plane's xDS port.

    Example pages may be served on `pages`; nothing ever listens on `absent`, where an example looks for a provider that
    is down. Only these two may be fetched on loopback.
    """

    grpc: Mapping[str, int]
    metrics: Mapping[str, int]
    xds: int
    pages: int
    absent: int

    @classmethod
    def settle(cls, home: Home, contexts: Sequence[str]) -> ServicePorts:
        """Give the ports of the last run, replacing those that another program took meanwhile."""
        file = home.run / "ports.json"
        known: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        names = [_XDS, _PAGES, _ABSENT, *contexts, *(f"{context}.{_METRICS}" for context in contexts)]
        ports: dict[str, int] = {}
        for name in names:
            port = known.get(name, 0)
            ports[name] = port if port and port_is_free(port) else free_port()
        write_private(file, json.dumps(ports, indent=2))
        return cls(
            {context: ports[context] for context in contexts},
            {context: ports[f"{context}.{_METRICS}"] for context in contexts},
            ports[_XDS],
            ports[_PAGES],
            ports[_ABSENT],
        )


def example_ports(home: Home) -> tuple[int, int]:
    """Give the port that example pages are served on, and the one on which nothing listens."""
    ports: dict[str, int] = json.loads((home.run / "ports.json").read_text(encoding="utf-8"))
    return ports[_PAGES], ports[_ABSENT]


def bootstrap_key_file(home: Home) -> Path:
    """Where the gateway leaves the API key of the development tenant, once."""
    return home.secrets / "dev-api-key"


def shared(home: Home, engines: Engines, pki: Pki, ports: ServicePorts, edge_port: int) -> dict[str, str]:
    """Give the variables of all contexts; one process may serve any set of them."""
    edge = pki.pair(EDGE)
    values = {
        "SA01_HOME": str(home.root),
        "SA01_VALKEY_URL": engines.valkey.url,
        "SA01_TEMPORAL_ADDRESS": engines.temporal.address,
        "SA01_VAULT_ADDRESS": engines.openbao.url,
        "SA01_BLOBS_URL": home.blobs.as_uri(),
        "SA01_PROVENANCE_BLOBS_URL": home.anchors.as_uri(),
        "SA01_TLS_CA_FILE": str(pki.authority),
        "SA01_GATEWAY_BOOTSTRAP_KEY_FILE": str(bootstrap_key_file(home)),
        "SA01_GATEWAY_XDS_BIND": f"{LOOPBACK}:{ports.xds}",
        "SA01_GATEWAY_EDGE_BIND": f"{LOOPBACK}:{edge_port}",
        "SA01_GATEWAY_EDGE_CERT_FILE": str(edge.certificate),
        "SA01_GATEWAY_EDGE_KEY_FILE": str(edge.key),
        "SA01_EXECUTOR_EGRESS_LOOPBACK": f"{LOOPBACK}:{ports.pages},{LOOPBACK}:{ports.absent}",
    }
    values |= _of_bus(engines)
    for context in ports.grpc:
        values |= _of_context(home, engines, pki, ports, context)
    return values


def _of_bus(engines: Engines) -> dict[str, str]:
    if engines.kafka is None:
        return {"SA01_BUS_KIND": "valkey"}
    bus = engines.kafka.settings
    return {
        "SA01_BUS_KIND": "kafka",
        "SA01_BUS_BOOTSTRAP_SERVERS": ",".join(bus.bootstrap_servers),
        "SA01_BUS_SECURITY_PROTOCOL": bus.security_protocol,
        "SA01_BUS_SASL_MECHANISM": bus.sasl_mechanism,
        "SA01_BUS_SASL_USERNAME": bus.sasl_username,
        "SA01_BUS_SASL_PASSWORD": bus.sasl_password.get_secret_value() if bus.sasl_password else "",
        "SA01_BUS_REPLICATION_FACTOR": str(bus.replication_factor),
        "SA01_BUS_MIN_INSYNC_REPLICAS": str(bus.min_insync_replicas),
    }


def _of_context(home: Home, engines: Engines, pki: Pki, ports: ServicePorts, context: str) -> dict[str, str]:
    own = f"SA01_{context.upper()}"
    pair = pki.pair(context)
    address = f"{LOOPBACK}:{ports.grpc[context]}"
    return {
        f"SA01_PEERS_{context.upper()}": address,
        f"{own}_SERVER_BIND": address,
        f"{own}_POSTGRES_DSN": databases.dsn_of(home, engines.postgres, context),
        f"{own}_POSTGRES_SCHEMA_NAME": context,
        f"{own}_VAULT_TOKEN_FILE": str(home.secrets / f"vault-token-{context}"),
        f"{own}_TLS_CERT_FILE": str(pair.certificate),
        f"{own}_TLS_KEY_FILE": str(pair.key),
    }


def of_process(values: Mapping[str, str], ports: ServicePorts, contexts: Sequence[str]) -> dict[str, str]:
    """Give the whole environment of a process that serves these contexts.

    The caller's own settings pass through, but where this mesh's engines are is not for them to say.
    """
    metrics = f"{LOOPBACK}:{ports.metrics[contexts[0]]}"
    return {**_DEFAULTS, **os.environ, **values, "SA01_TELEMETRY_METRICS_BIND": metrics}


def write(home: Home, values: Mapping[str, str]) -> Path:
    """Write the variables as a 0600 file that a shell can source; give its path."""
    file = home.run / "services.env"
    write_private(
        file,
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted({**_DEFAULTS, **values}.items())),
    )
    return file
