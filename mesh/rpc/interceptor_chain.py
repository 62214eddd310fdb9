"""The one chain of interceptors that every server of the mesh puts around every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import protovalidate

from mesh import telemetry
from mesh.ids import SystemIds
from mesh.processes.cpu_usage import CpuUsage
from mesh.rpc.interceptors.authorization import Authorization
from mesh.rpc.interceptors.deadline import Deadline
from mesh.rpc.interceptors.errors import Errors
from mesh.rpc.interceptors.heavy_tenants import HeavyTenants
from mesh.rpc.interceptors.idempotency import Idempotency
from mesh.rpc.interceptors.identity import Identity
from mesh.rpc.interceptors.large_requests import LargeRequests
from mesh.rpc.interceptors.logging import Logging
from mesh.rpc.interceptors.metrics import Metrics
from mesh.rpc.interceptors.stream_identity import StreamIdentity
from mesh.rpc.interceptors.tenancy import Tenancy
from mesh.rpc.interceptors.tracing import Tracing
from mesh.rpc.interceptors.validation import Validation
from mesh.rpc.interceptors.version import Version

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from mesh.clock import Clock
    from mesh.ids import Ids
    from mesh.rpc.interceptor import Interceptor
    from mesh.rpc.interceptors.authorization import Authorizer, RefusalListener
    from mesh.rpc.interceptors.identity import Verifier
    from mesh.rpc.interceptors.stream_identity import Revocations
    from mesh.rpc.interceptors.validation import Validator


def standard_chain(
    *,
    verifier: Verifier,
    authorizer: Authorizer,
    clock: Clock,
    validator: Validator | None = None,
    ids: Ids | None = None,
    tracer: Tracer | None = None,
    default_deadline_s: float | None = 60.0,
    on_refused: RefusalListener | None = None,
    revocations: Revocations | None = None,
    cpu_usage: CpuUsage | None = None,
    version: str = "",
) -> list[Interceptor]:
    """The chain, outermost first. A unary call without a deadline gets `default_deadline_s` seconds.

    `on_refused` hears of callers who were refused what changes something. `revocations` end open streams of their keys.
    `version` is what the server's health tells as the version of its context. `cpu_usage` tells whose calls begin
    one after the other.
    """
    return [
        Errors(),
        Tracing(tracer or telemetry.tracer(), ids or SystemIds()),
        Metrics(clock),
        Version(version),
        Logging(clock),
        Identity(verifier),
        StreamIdentity(clock, revocations),
        Tenancy(),
        Authorization(authorizer, on_refused),
        Deadline(clock, default_deadline_s),
        Idempotency(),
        HeavyTenants(cpu_usage or CpuUsage(clock)),
        LargeRequests(),
        Validation(validator or protovalidate.Validator()),
    ]
