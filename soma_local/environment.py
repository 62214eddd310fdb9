"""The settings that a local mesh gives its services, as environment variables."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_local import databases
from soma_local.home import write_private
from soma_local.pki import EDGE
from soma_local.ports import LOOPBACK, free_port, port_is_free

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mesh.contexts import ContextDeclaration
    from soma_local.engines import Engine, KafkaEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine
    from soma_local.home import Home
    from soma_local.pki import Pki

# What a local mesh chooses alike for every home unless the operator's environment says otherwise.
_DEFAULTS = {
    "SA01_PROFILE": "dev",
    "SA01_GATEWAY_BOOTSTRAP_PLAN": "dev",
    "SA01_ENABLE_multimodal_capabilities": "true",
    "SA01_MULTIMODAL_QUALITY_GATES_ENABLED": "true",
    # Else every thread of a model or a picture library keeps a heap of its own, which nobody gives back.
    "MALLOC_ARENA_MAX": "2",
}
_CHOSEN = "SA01_CHOSEN_BY_SOMA"
"""What `soma up` chose, as JSON: a shell that sourced it hands on choices of an earlier run, not an operator's."""
_OWNED = (
    "HOME",
    "VALKEY_URL",
    "TEMPORAL_ADDRESS",
    "VAULT_ADDRESS",
    "VAULT_TOKEN_FILE",
    "POSTGRES_DSN",
    "POSTGRES_SCHEMA_NAME",
    "BUS_KIND",
    "BUS_BOOTSTRAP_SERVERS",
    "BUS_SECURITY_PROTOCOL",
    "BUS_SASL_MECHANISM",
    "BUS_SASL_USERNAME",
    "BUS_SASL_PASSWORD",
    "BUS_REPLICATION_FACTOR",
    "BUS_MIN_INSYNC_REPLICAS",
    "TLS_CA_FILE",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "SERVER_BIND",
    "TELEMETRY_METRICS_BIND",
    "IDENTITY_REVOCATIONS_DIR",
    "GATEWAY_BOOTSTRAP_KEY_FILE",
    "GATEWAY_EDGE_BIND",
    "GATEWAY_EDGE_CERT_FILE",
    "GATEWAY_EDGE_KEY_FILE",
)
"""Settings that `soma up` must settle itself, without their prefix: where its engines and ports are, and what its own
commands rely on. With `PEERS_*` and the further ports of contexts they are all it owns."""
_METRICS = "metrics"
XDS = ("gateway", "xds")
"""The port of the control plane, which Envoy connects to."""
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
    """Loopback ports of the services, one for each replica: gRPC and metrics by context, and further ones.

    `further` are those that a context declares besides, by its name and theirs. Example pages may be served on `pages`;
    nothing ever listens on `absent`, where an example looks for a provider that is down. Only these two may be fetched
    on loopback.
    """

    grpc: Mapping[str, tuple[int, ...]]
    metrics: Mapping[str, tuple[int, ...]]
    further: Mapping[tuple[str, str], tuple[int, ...]]
    pages: int
    absent: int

    @classmethod
    def of(cls, home: Home, contexts: Sequence[ContextDeclaration], replicas: int = 1) -> ServicePorts:
        """Give the ports of these contexts, as `allocate` does."""
        further = [(context.name, port) for context in contexts for port in context.ports]
        return cls.allocate(home, [context.name for context in contexts], replicas, further)

    @classmethod
    def allocate(
        cls, home: Home, contexts: Sequence[str], replicas: int = 1, further: Sequence[tuple[str, str]] = ()
    ) -> ServicePorts:
        """Give the ports of the last run, replacing those that another program took meanwhile."""
        file = home.run / "ports.json"
        known: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        others = [".".join(each) for each in further]
        served = [*contexts, *(f"{context}.{_METRICS}" for context in contexts), *others]
        ports: dict[str, int] = {}
        for name in [_PAGES, _ABSENT, *(each for one in served for each in _of_replicas(one, replicas))]:
            port = known.get(name, 0)
            ports[name] = port if port and port_is_free(port) else free_port()
        write_private(file, json.dumps(ports, indent=2))
        found = {name: tuple(ports[port] for port in _of_replicas(name, replicas)) for name in served}
        return cls(
            {context: found[context] for context in contexts},
            {context: found[f"{context}.{_METRICS}"] for context in contexts},
            {each: found[".".join(each)] for each in further},
            ports[_PAGES],
            ports[_ABSENT],
        )


def _of_replicas(name: str, replicas: int) -> list[str]:
    """Names of a port of each replica; the first replica's is the plain name."""
    return [name, *(f"{name}.{number}" for number in range(2, replicas + 1))]


def example_ports(home: Home) -> tuple[int, int]:
    """Give the port that example pages are served on, and the one on which nothing listens."""
    ports: dict[str, int] = json.loads((home.run / "ports.json").read_text(encoding="utf-8"))
    return ports[_PAGES], ports[_ABSENT]


def bootstrap_key_file(home: Home) -> Path:
    """Where the gateway leaves the API key of the development tenant, once."""
    return home.secrets / "dev-api-key"


def shared(
    home: Home,
    engines: Engines,
    pki: Pki,
    ports: ServicePorts,
    edge_port: int,
    *,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Give the variables of all contexts; one process may serve any set of them.

    Where the operator's environment says something else than what is chosen here, that holds; what is owned is not for
    it to say.
    """
    edge = pki.pair(EDGE)
    choices = {
        **_DEFAULTS,
        "SA01_BLOBS_URL": home.blobs.as_uri(),
        "SA01_PROVENANCE_BLOBS_URL": home.anchors.as_uri(),
        "SA01_EXECUTOR_EGRESS_LOOPBACK": f"{LOOPBACK}:{ports.pages},{LOOPBACK}:{ports.absent}",
    }
    values = {
        **choices,
        **_overrides(choices, environ),
        _CHOSEN: json.dumps(choices),
        "SA01_HOME": str(home.root),
        "SA01_VALKEY_URL": engines.valkey.url,
        "SA01_TEMPORAL_ADDRESS": engines.temporal.address,
        "SA01_VAULT_ADDRESS": engines.openbao.url,
        "SA01_TLS_CA_FILE": str(pki.authority),
        "SA01_IDENTITY_REVOCATIONS_DIR": str(home.revocations),
        "SA01_GATEWAY_BOOTSTRAP_KEY_FILE": str(bootstrap_key_file(home)),
        "SA01_GATEWAY_EDGE_BIND": f"{LOOPBACK}:{edge_port}",
        "SA01_GATEWAY_EDGE_CERT_FILE": str(edge.certificate),
        "SA01_GATEWAY_EDGE_KEY_FILE": str(edge.key),
    }
    values |= _of_bus(engines) | _further(ports, 0)
    for context in ports.grpc:
        values |= _of_context(home, engines, pki, ports, context)
    return values


def _overrides(choices: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """What the operator says in place of choices; a variable that is set to nothing is unset."""
    earlier: dict[str, str] = json.loads(environ.get(_CHOSEN) or "{}")
    return {name: environ[name] for name in choices if environ.get(name) and environ[name] != earlier.get(name)}


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
    addresses = [f"{LOOPBACK}:{port}" for port in ports.grpc[context]]
    return {
        f"SA01_PEERS_{context.upper()}": addresses[0] if len(addresses) == 1 else f"ipv4:{','.join(addresses)}",
        f"{own}_SERVER_BIND": addresses[0],
        f"{own}_POSTGRES_DSN": databases.dsn_of(home, engines.postgres, context),
        f"{own}_POSTGRES_SCHEMA_NAME": context,
        f"{own}_VAULT_TOKEN_FILE": str(home.secrets / f"vault-token-{context}"),
        f"{own}_TLS_CERT_FILE": str(pair.certificate),
        f"{own}_TLS_KEY_FILE": str(pair.key),
    }


def of_process(
    values: Mapping[str, str],
    ports: ServicePorts,
    contexts: Sequence[str],
    *,
    replica: int = 0,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Give the whole environment of a process that serves these contexts, as the replica of this index.

    The operator's own settings pass through, except for what is owned, under whichever name a context would read it.
    """
    own = {"SA01_TELEMETRY_METRICS_BIND": f"{LOOPBACK}:{ports.metrics[contexts[0]][replica]}"}
    if replica:
        # The set that a replica keeps may be older than another's, which it must not take the place of.
        own["SA01_IDENTITY_REVOCATIONS_DIR"] = f"{values['SA01_IDENTITY_REVOCATIONS_DIR']}/{replica + 1}"
        own |= _further(ports, replica)
        own |= {f"SA01_{each.upper()}_SERVER_BIND": f"{LOOPBACK}:{ports.grpc[each][replica]}" for each in contexts}
    passed = {name: value for name, value in environ.items() if not _is_owned(name, ports)}
    return {**passed, **values, **own}


def _further(ports: ServicePorts, replica: int) -> dict[str, str]:
    """Where a replica binds the further ports of its contexts."""
    return {
        f"SA01_{context.upper()}_{name.upper()}_BIND": f"{LOOPBACK}:{numbers[replica]}"
        for (context, name), numbers in ports.further.items()
    }


def _is_owned(variable: str, ports: ServicePorts) -> bool:
    owned = {*_OWNED, *(name.removeprefix("SA01_") for name in _further(ports, 0))}
    names = [variable.removeprefix("SA01_"), *(variable.removeprefix(f"SA01_{each.upper()}_") for each in ports.grpc)]
    return variable.startswith("SA01_") and any(name in owned or name.startswith("PEERS_") for name in names)


def write(home: Home, values: Mapping[str, str]) -> Path:
    """Write the variables as a 0600 file that a shell can source; give its path."""
    file = home.run / "services.env"
    write_private(
        file,
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())),
    )
    return file
