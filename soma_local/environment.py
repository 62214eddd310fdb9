"""The environment variables of the services of a local mesh."""

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

# Defaults of a local mesh; the operator's environment overrides them.
_DEFAULTS = {
    "SA01_PROFILE": "dev",
    "SA01_GATEWAY_BOOTSTRAP_PLAN": "dev",
    "SA01_ENABLE_multimodal_capabilities": "true",
    "SA01_MULTIMODAL_QUALITY_GATES_ENABLED": "true",
    # Without it every thread of a model or an image library keeps an arena of its own, which is never freed.
    "MALLOC_ARENA_MAX": "2",
}
_DEFAULTS_VARIABLE = "SA01_CHOSEN_BY_SOMA"
"""The overridable values that `soma up` set, as JSON: a shell that sourced them passes on defaults, no overrides."""
_RESERVED = (
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
"""Settings, without their prefix, that `soma up` alone sets: the addresses of its engines and ports, and what its own
commands depend on. So are `PEERS_*` and the additional ports of contexts."""
_METRICS = "metrics"
XDS = ("gateway", "xds")
"""The port of the control plane, which Envoy connects to."""
_PAGES, _UNREACHABLE = "pages", "absent"  # keys of `ports.json`, which earlier versions wrote too


@dataclass(frozen=True)
class Engines:
    """The engines that services connect to."""

    postgres: PostgresEngine
    valkey: ValkeyEngine
    temporal: TemporalEngine
    openbao: OpenBaoEngine
    kafka: KafkaEngine | None = None
    """The event bus; None when Valkey is."""

    def all(self) -> list[Engine]:
        """Returns the engines that are configured."""
        return [self.postgres, self.valkey, self.temporal, self.openbao, *([self.kafka] if self.kafka else [])]


@dataclass(frozen=True)
class ServicePorts:
    """Loopback ports of the services, one for each replica: gRPC and metrics by context, and additional ones.

    `additional` are the other ports that contexts declare, by name of the context and of the port. The demo serves its
    pages on `pages`; nothing listens on `unreachable`, the address of a provider that is down. Egress on loopback is
    allowed to these two alone.
    """

    grpc: Mapping[str, tuple[int, ...]]
    metrics: Mapping[str, tuple[int, ...]]
    additional: Mapping[tuple[str, str], tuple[int, ...]]
    pages: int
    unreachable: int

    @classmethod
    def for_contexts(cls, home: Home, contexts: Sequence[ContextDeclaration], replicas: int = 1) -> ServicePorts:
        """Allocates the ports of these contexts."""
        additional = [(context.name, port) for context in contexts for port in context.ports]
        return cls.allocate(home, [context.name for context in contexts], replicas, additional)

    @classmethod
    def allocate(
        cls, home: Home, contexts: Sequence[str], replicas: int = 1, additional: Sequence[tuple[str, str]] = ()
    ) -> ServicePorts:
        """Returns the ports of the last run, and others for those that another program uses now."""
        file = home.run / "ports.json"
        previous: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        additional_names = [".".join(key) for key in additional]
        served = [*contexts, *(f"{context}.{_METRICS}" for context in contexts), *additional_names]
        ports: dict[str, int] = {}
        replica_names = (replica for name in served for replica in _replica_names(name, replicas))
        for port_name in [_PAGES, _UNREACHABLE, *replica_names]:
            port = previous.get(port_name, 0)
            ports[port_name] = port if port and port_is_free(port) else free_port()
        write_private(file, json.dumps(ports, indent=2))
        found = {name: tuple(ports[port] for port in _replica_names(name, replicas)) for name in served}
        return cls(
            {context: found[context] for context in contexts},
            {context: found[f"{context}.{_METRICS}"] for context in contexts},
            {key: found[".".join(key)] for key in additional},
            ports[_PAGES],
            ports[_UNREACHABLE],
        )


def _replica_names(name: str, replicas: int) -> list[str]:
    """Returns the port names of the replicas; that of the first one has no number."""
    return [name, *(f"{name}.{number}" for number in range(2, replicas + 1))]


def example_ports(home: Home) -> tuple[int, int]:
    """Returns the port of the example pages, and the port on which nothing listens."""
    ports: dict[str, int] = json.loads((home.run / "ports.json").read_text(encoding="utf-8"))
    return ports[_PAGES], ports[_UNREACHABLE]


def bootstrap_key_file(home: Home) -> Path:
    """Returns the file to which the gateway writes the API key of the development tenant once."""
    return home.secrets / "dev-api-key"


def shared_variables(
    home: Home,
    engines: Engines,
    pki: Pki,
    ports: ServicePorts,
    edge_port: int,
    *,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Returns the variables of all contexts; one process may serve any set of them.

    The operator's environment overrides the defaults, not the reserved settings.
    """
    edge = pki.pair(EDGE)
    defaults = {
        **_DEFAULTS,
        "SA01_BLOBS_URL": home.blobs.as_uri(),
        "SA01_PROVENANCE_BLOBS_URL": home.anchors.as_uri(),
        "SA01_EXECUTOR_EGRESS_LOOPBACK": f"{LOOPBACK}:{ports.pages},{LOOPBACK}:{ports.unreachable}",
    }
    values = {
        **defaults,
        **_overrides(defaults, environ),
        _DEFAULTS_VARIABLE: json.dumps(defaults),
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
    values |= _bus_variables(engines) | _additional_binds(ports, 0)
    for context in ports.grpc:
        values |= _context_variables(home, engines, pki, ports, context)
    return values


def _overrides(defaults: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the operator's overrides of the defaults; an empty variable counts as unset."""
    previous_defaults: dict[str, str] = json.loads(environ.get(_DEFAULTS_VARIABLE) or "{}")
    return {
        name: environ[name] for name in defaults if environ.get(name) and environ[name] != previous_defaults.get(name)
    }


def _bus_variables(engines: Engines) -> dict[str, str]:
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


def _context_variables(home: Home, engines: Engines, pki: Pki, ports: ServicePorts, context: str) -> dict[str, str]:
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


def process_environ(
    values: Mapping[str, str],
    ports: ServicePorts,
    contexts: Sequence[str],
    *,
    replica: int = 0,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Returns the environment of a process that serves these contexts, as the replica of this index.

    The operator's settings are passed through, except for the reserved ones under any name that a context reads.
    """
    own = {"SA01_TELEMETRY_METRICS_BIND": f"{LOOPBACK}:{ports.metrics[contexts[0]][replica]}"}
    if replica:
        # The file of a replica may be older than that of another, which it must not overwrite.
        own["SA01_IDENTITY_REVOCATIONS_DIR"] = f"{values['SA01_IDENTITY_REVOCATIONS_DIR']}/{replica + 1}"
        own |= _additional_binds(ports, replica)
        own |= {
            f"SA01_{context.upper()}_SERVER_BIND": f"{LOOPBACK}:{ports.grpc[context][replica]}" for context in contexts
        }
    passed = {name: value for name, value in environ.items() if not _is_reserved(name, ports)}
    return {**passed, **values, **own}


def _additional_binds(ports: ServicePorts, replica: int) -> dict[str, str]:
    """Returns the bind addresses of a replica's additional ports."""
    return {
        f"SA01_{context.upper()}_{name.upper()}_BIND": f"{LOOPBACK}:{numbers[replica]}"
        for (context, name), numbers in ports.additional.items()
    }


def _is_reserved(variable: str, ports: ServicePorts) -> bool:
    reserved = {*_RESERVED, *(name.removeprefix("SA01_") for name in _additional_binds(ports, 0))}
    names = [variable.removeprefix("SA01_"), *(variable.removeprefix(f"SA01_{name.upper()}_") for name in ports.grpc)]
    return variable.startswith("SA01_") and any(name in reserved or name.startswith("PEERS_") for name in names)


def write_env_file(home: Home, values: Mapping[str, str]) -> Path:
    """Writes the variables to a 0600 file that a shell can source; returns its path."""
    file = home.run / "services.env"
    write_private(
        file,
        "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())),
    )
    return file
