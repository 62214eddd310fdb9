"""The service config follows from the options of the methods."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2

from soma.common.v1 import deadline_pb2
from tools import service_config
from tools.openapi_document.contracts import Contracts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TRACE = {"service": "soma.provenance.v1.TraceService", "method": "GetTrace"}


def planted(seconds: int, nanos: int = 0) -> descriptor_pb2.FileDescriptorSet:
    """The committed contracts with another deadline of `TRACE`."""
    files = descriptor_pb2.FileDescriptorSet.FromString(service_config.DESCRIPTORS.read_bytes())
    [method] = [
        method
        for file in files.file
        for service in file.service
        for method in service.method
        if (f"{file.package}.{service.name}", method.name) == (TRACE["service"], TRACE["method"])
    ]
    timeout = method.options.Extensions[deadline_pb2.deadline].timeout
    timeout.seconds, timeout.nanos = seconds, nanos
    return files


def groups(files: descriptor_pb2.FileDescriptorSet) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(service_config.render(Contracts(files)))["methodConfig"]
    return read


def test_the_file_follows_from_the_descriptors() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(service_config.DESCRIPTORS.read_bytes())
    assert service_config.OUT.read_text() == service_config.render(Contracts(files))


def test_another_deadline_is_that_of_its_method_alone() -> None:
    before, after = groups(planted(5)), groups(planted(7, 500_000_000))
    [own] = [group for group in after if TRACE in group["name"]]
    assert own == {
        "name": [TRACE],
        "idempotency": "NO_SIDE_EFFECTS",
        "timeout": "7.5s",
        "retryPolicy": service_config.RETRY,
    }
    for group in before:
        group["name"] = [name for name in group["name"] if name != TRACE]
    assert [group for group in after if group is not own] == before


def test_calls_with_a_timeout_are_retried_and_streams_have_neither() -> None:
    found = groups(planted(5))
    assert [(group["idempotency"], group.get("timeout")) for group in found] == [
        ("NO_SIDE_EFFECTS", "5s"),
        ("IDEMPOTENT", "15s"),
        ("LONG_IDEMPOTENT", "60s"),
        ("STREAM", None),
    ]
    assert all(("retryPolicy" in group) == ("timeout" in group) for group in found)


def test_nothing_is_written_while_a_method_has_no_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_set = tmp_path / "soma.binpb"
    planted_set.write_bytes(planted(0).SerializeToString())
    monkeypatch.setattr(service_config, "DESCRIPTORS", planted_set)
    monkeypatch.setattr(service_config, "OUT", tmp_path / "service_config.json")
    assert service_config.main() == 1
    assert capsys.readouterr().out == "soma.provenance.v1.TraceService.GetTrace has a timeout that is not positive\n"
    assert not service_config.OUT.exists()
