"""Who may call a method and whether it changes something, by the options of its contract, and who may name a job."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2, descriptor_pool

from mesh.errors import FieldViolation, invalid_all
from mesh.identity import SERVICE_ROLE
from mesh.rpc.interceptor import Access
from soma.common.v1 import access_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from mesh.context import Caller

_OPEN_SERVICES = frozenset(
    {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}
)
_RAW_BODY = "google.api.HttpBody"
JOB_FIELDS = ("job_id", "step_id", "execution_id")
"""Fields of a request that place what it writes in the account of a job."""


def has_side_effects(service: str, method: str) -> bool:
    """Whether a method may change something: all but those of the idempotency level NO_SIDE_EFFECTS."""
    found = _find(service, method)
    return found is None or found.GetOptions().idempotency_level != descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


def is_service(caller: Caller) -> bool:
    """Whether a service calls, on behalf of a subject or for itself."""
    return bool(caller.actor) or SERVICE_ROLE in caller.roles


def check_job_fields(message: Message, path: str, caller: Caller) -> None:
    """INVALID_ARGUMENT when a caller other than a service fills in any of `JOB_FIELDS`.

    What is written with them appears in the job's account. `path` is where `message` is within the request.
    """
    if is_service(caller):
        return
    named = [name for name in JOB_FIELDS if getattr(message, name, "")]
    if named:
        text = "only a service that runs the job may name it; leave it empty"
        raise invalid_all([FieldViolation(f"{path}.{name}", text) for name in named])


def declared_access(service: str, method: str) -> Access | None:
    """The access that the contract declares; None when it declares none, which refuses everyone.

    Health and reflection are part of being a server and are public.
    """
    if service in _OPEN_SERVICES:
        return Access(action="", public=True)
    found = _find(service, method)
    if found is None:
        return None
    declared = found.GetOptions().Extensions[access_pb2.access]
    if not (declared.public or declared.action):
        return None
    return Access(action=declared.action, public=declared.public)


@lru_cache(maxsize=1_024)
def sends_events(service: str, method: str) -> bool:
    """Whether REST clients get the stream of a method as server-sent events: all but those of raw bodies."""
    found = _find(service, method)
    return found is not None and bool(found.server_streaming) and found.output_type.full_name != _RAW_BODY


def _find(service: str, method: str) -> MethodDescriptor | None:
    try:
        return descriptor_pool.Default().FindMethodByName(f"{service}.{method}")
    except KeyError:
        return None
