"""Writes protos/service_config.json: deadline, retry rule and idempotency class of every RPC, shared among replicas.

The classes are told here once; the file is what clients in every language load. `tools/generate.py` runs this.
"""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf import descriptor_pb2

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
CLASSES: dict[str, dict[str, object]] = {
    "NO_SIDE_EFFECTS": {"timeout": "5s", "retryPolicy": RETRY},
    "IDEMPOTENT": {"timeout": "15s", "retryPolicy": RETRY},
    "LONG_IDEMPOTENT": {"timeout": "60s", "retryPolicy": RETRY},
    "STREAM": {},
}
READS = ("Get", "List", "Find", "Validate", "Describe")
LONG = {"DiffDocuments", "Evaluate", "UploadAsset", "VerifyAudit", "ExportProvenance"}


def idempotency(method: descriptor_pb2.MethodDescriptorProto) -> str:
    """Names the class of a method: streams have no deadline, reads retry freely, writes carry a request_id."""
    if method.server_streaming:
        return "STREAM"
    if method.name in LONG:
        return "LONG_IDEMPOTENT"
    if method.name.startswith(READS):
        return "NO_SIDE_EFFECTS"
    return "IDEMPOTENT"


def render() -> str:
    """Builds the document, one entry a class."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    names: dict[str, list[dict[str, str]]] = {kind: [] for kind in CLASSES}
    for file in files.file:
        for service in file.service:
            for method in service.method:
                entry = {"service": f"{file.package}.{service.name}", "method": method.name}
                names[idempotency(method)].append(entry)
    config = [
        {"name": sorted(names[kind], key=lambda n: (n["service"], n["method"])), "idempotency": kind, **rule}
        for kind, rule in CLASSES.items()
    ]
    document = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": config,
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    OUT.write_text(render())
