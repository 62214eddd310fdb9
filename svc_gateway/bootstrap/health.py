"""The wiring of the health checks."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import grpc.aio
import httpx

from mesh.contexts import installed
from mesh.logging import get_logger
from mesh.rpc.client import connect
from mesh.stores import valkey
from svc_gateway.adapters import health_probes as probes
from svc_gateway.adapters.postgres.health import postgres_probe
from svc_gateway.app.health_monitor import Check, CheckTiming, HealthMonitor
from svc_gateway.context import NAME
from svc_gateway.domain.degradation import Thresholds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.chassis import Chassis
    from mesh.contexts import ContextDeclaration
    from svc_gateway.app.ports import Probe
    from svc_gateway.domain.routes import RouteTable
    from svc_gateway.settings import Settings

_INDIRECT_TIMEOUT_S = 3.0
"""Time limit of a question to a context about another component, in seconds."""


async def health_monitor(chassis: Chassis, settings: Settings, routes: RouteTable) -> HealthMonitor:
    """Opens the connections of the checks, and returns the monitor that runs them."""
    own = settings.gateway
    checks = await _engine_checks(chassis, settings)
    peers: dict[str, grpc.aio.Channel] = {}
    for context in routes.contexts:
        address = settings.peers.get(context)
        if address is not None:
            opening = connect(address, settings.tls, service_config=chassis.service_config, clock=chassis.clock)
            peers[context] = await chassis.enter(opening)
    checks += _context_checks([context for context in installed() if context.name in routes.contexts], peers)
    thresholds = Thresholds(
        minor_s=own.minor_response_s,
        moderate_s=own.moderate_response_s,
        severe_s=own.severe_response_s,
        minor_errors=own.minor_error_rate,
        moderate_errors=own.moderate_error_rate,
        circuit_failures=own.circuit_failure_rate,
        min_calls=own.min_calls,
        min_hold_s=own.level_hold_s,
    )
    timing = CheckTiming(own.check_every_s, own.check_deadline_s, own.check_start_s)
    return HealthMonitor(checks, timing, thresholds, chassis.clock)


async def _engine_checks(chassis: Chassis, settings: Settings) -> list[Check]:
    redis = await chassis.enter(valkey.open(settings.valkey))
    http = await chassis.enter(
        httpx.AsyncClient(trust_env=False, verify=_vault_ca(settings), timeout=settings.gateway.check_deadline_s)
    )
    checks = [
        Check("postgres", postgres_probe(chassis.postgres), critical=True),
        Check("valkey", probes.valkey_probe(redis), critical=settings.bus.kind == "valkey"),
        Check("vault", probes.vault_probe(http, settings.vault.address)),
        Check("bus", probes.ping_probe(chassis.bus.ping), critical=True),
    ]
    if settings.temporal is not None:
        channel = await chassis.enter(grpc.aio.insecure_channel(settings.temporal.address))
        checks.append(Check("temporal", probes.temporal_probe(channel)))
    return checks


def _context_checks(contexts: Sequence[ContextDeclaration], peers: Mapping[str, grpc.aio.Channel]) -> list[Check]:
    """Returns the checks of the contexts, and of the dependencies that only one of them can report on."""
    checks = [check for context in contexts for check in _context_check(context, peers.get(context.name))]
    stateful = {each.name: peers[each.name] for each in contexts if each.name in peers and not each.stateless}
    checks.append(_indirect("outbox", probes.shared_dependency_probe(stateful, "outbox")))
    return checks + [
        _indirect(name, probes.dependency_probe(context.name, peers[context.name], name))
        for context in contexts
        if context.name in peers
        for name in context.reports
    ]


def _context_check(context: ContextDeclaration, peer: grpc.aio.Channel | None) -> list[Check]:
    """Returns the check of a context; none for this context when it has no address of its own among the peers."""
    name = f"svc_{context.name}"
    if peer is not None:
        return [Check(name, probes.grpc_probe(peer), critical=context.critical)]
    if context.name == NAME:
        return []
    get_logger("svc_gateway").warning("a context has no address", peer=context.name)
    return [Check(name, probes.no_address_probe(context.name), critical=context.critical)]


def _indirect(name: str, probe: Probe) -> Check:
    """A check that asks other contexts about a component."""
    return Check(name, probe, indirect=True, deadline_s=_INDIRECT_TIMEOUT_S)


def _vault_ca(settings: Settings) -> ssl.SSLContext | bool:
    ca_file = settings.vault.ca_file
    return ssl.create_default_context(cafile=str(ca_file)) if ca_file else True
