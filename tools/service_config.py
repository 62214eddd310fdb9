"""Writes protos/service_config.json: the deadline and the retry rule of every RPC, shared among replicas.

Both follow from the options of the method in its proto, `soma.common.v1.deadline` and `idempotency_level`; the file is
what clients in every language load. `tools/generate.py` runs this.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2

from tools.method_rules import DEADLINE, IDEMPOTENT, problems
from tools.openapi_document.contracts import Contracts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor import MethodDescriptor

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "gen" / "descriptors" / "soma.binpb"
OUT = ROOT / "protos" / "service_config.json"

RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
LONG_S = 15
"""A longer timeout makes the name of a group begin with LONG."""


def render(contracts: Contracts) -> str:
    """Builds the document of methods without problems: one group a timeout, the shortest first, streams last."""
    groups: dict[float, list[MethodDescriptor]] = {}
    for service in contracts.services():
        for method in service.methods:
            groups.setdefault(_timeout_s(contracts, method), []).append(method)
    document = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [_group(timeout_s, methods) for timeout_s, methods in sorted(groups.items())],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
    return json.dumps(document, indent=2) + "\n"


def _timeout_s(contracts: Contracts, method: MethodDescriptor) -> float:
    """Seconds, infinite for a stream."""
    deadline = contracts.option(method, DEADLINE)
    if deadline is None:
        raise ValueError(f"{method.full_name} has no deadline")
    seconds: float = deadline.timeout.ToTimedelta().total_seconds()  # type: ignore[attr-defined]
    return math.inf if deadline.none else seconds  # type: ignore[attr-defined]


def _group(timeout_s: float, methods: Sequence[MethodDescriptor]) -> dict[str, object]:
    """One entry of `methodConfig`. gRPC does not read `idempotency`; it names the group."""
    names = sorted((method.containing_service.full_name, method.name) for method in methods)
    entry: dict[str, object] = {"name": [{"service": service, "method": name} for service, name in names]}
    if timeout_s == math.inf:
        return {**entry, "idempotency": "STREAM"}
    changes = any(method.GetOptions().idempotency_level == IDEMPOTENT for method in methods)
    kind = ("LONG_" if timeout_s > LONG_S else "") + ("IDEMPOTENT" if changes else "NO_SIDE_EFFECTS")
    return {**entry, "idempotency": kind, "timeout": f"{timeout_s:g}s", "retryPolicy": RETRY}


def main() -> int:
    """Writes the file, or prints what is wrong with the options of methods; gives the exit status."""
    contracts = Contracts(descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()))
    found = problems(contracts)
    for problem in found:
        print(problem)
    if not found:
        OUT.write_text(render(contracts))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
