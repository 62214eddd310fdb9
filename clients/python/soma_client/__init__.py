"""Client of a SomaMesh: jobs, assets, traces and all else that the edge serves, async and typed."""

from __future__ import annotations

from soma_client import types
from soma_client.client import SomaClient
from soma_client.errors import (
    AbortedError,
    AlreadyExistsError,
    CallCancelledError,
    CallError,
    CertificateError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    JobFailedError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SomaError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    Violation,
)
from soma_client.paging import Pages
from soma_client.structs import from_struct, read_plan, to_struct
from soma_client.system import System
from soma_client.version import __version__

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CallCancelledError",
    "CallError",
    "CertificateError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "JobFailedError",
    "NotFoundError",
    "OutOfRangeError",
    "Pages",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "SomaClient",
    "SomaError",
    "System",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Violation",
    "__version__",
    "from_struct",
    "read_plan",
    "to_struct",
    "types",
]
