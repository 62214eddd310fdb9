"""Every method states its deadline and its idempotency level, and the rules find those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2

from soma.common.v1 import deadline_pb2
from tools.method_rules import DEADLINE, problems
from tools.openapi_document.contracts import Contracts

if TYPE_CHECKING:
    from collections.abc import Callable

Options = descriptor_pb2.MethodOptions
ROOT = Path(__file__).parents[3]
DESCRIPTORS = ROOT / "gen" / "descriptors" / "soma.binpb"
UNSTATED = f"has no deadline, or two: set one field of the option {DEADLINE}"
UNLEVELLED = "has no idempotency_level: NO_SIDE_EFFECTS when it only reads, else IDEMPOTENT"
BY_ID = "names what it changes by its id"
WITHOUT_REQUEST_ID = {
    "soma.assets.v1.AssetService.DeleteAsset": BY_ID,
    "soma.critic.v1.RubricService.DeleteRubric": BY_ID,
    "soma.gateway.v1.ApiKeyService.RevokeApiKey": BY_ID,
    "soma.gateway.v1.TokenService.CreateToken": "makes another token, which lapses like the first",
    "soma.provenance.v1.DeadLetterService.DiscardDeadLetter": BY_ID,
    "soma.provenance.v1.DeadLetterService.RequeueDeadLetter": BY_ID,
    "soma.provenance.v1.DeadLetterService.RequeueDeadLetters": "leaves letters that are under way; takes the next ones",
    "soma.provenance.v1.ReceiptService.SetRetention": "writes the same days",
    "soma.registry.v1.CapabilityService.ReportHealth": "counts a failure once more, as the next report of it does",
    "soma.selector.v1.BudgetService.ReleaseReservation": BY_ID,
    "soma.selector.v1.BudgetService.RenewReservation": BY_ID,
    "soma.selector.v1.BudgetService.SettleReservation": BY_ID,
}
"""Methods that change something without a `request_id`, and what a second attempt does."""


def committed() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def methods(files: descriptor_pb2.FileDescriptorSet) -> list[descriptor_pb2.MethodDescriptorProto]:
    return [method for file in files.file for service in file.service for method in service.method]


def planted(name: str, change: Callable[[Options], object]) -> list[str]:
    """The problems of the committed contracts with the options of one method changed, without its name."""
    files = committed()
    [method] = [method for method in methods(files) if method.name == name]
    change(method.options)
    found = [problem.partition(" ") for problem in problems(Contracts(files))]
    assert {where.rpartition(".")[2] for where, _, _ in found} <= {name}
    return [what for _, _, what in found]


def deadline(seconds: int | None = None, *, none: bool = False) -> Callable[[Options], object]:
    value = deadline_pb2.Deadline(none=none)
    if seconds is not None:
        value.timeout.seconds = seconds
    return lambda options: options.Extensions[deadline_pb2.deadline].CopyFrom(value)


def level(value: Options.IdempotencyLevel) -> Callable[[Options], object]:
    return lambda options: setattr(options, "idempotency_level", value)


def test_every_method_states_a_deadline_and_a_level_that_fit() -> None:
    assert problems(Contracts(committed())) == []


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("GetJob", lambda options: options.ClearExtension(deadline_pb2.deadline), [UNSTATED]),
        ("GetJob", deadline(), [UNSTATED]),
        ("GetJob", deadline(5, none=True), [UNSTATED]),
        ("GetJob", deadline(none=True), ["answers with one message and needs a timeout"]),
        ("GetJob", deadline(0), ["has a timeout that is not positive"]),
        ("WatchJob", deadline(5), ["answers with a stream and takes no timeout"]),
    ],
)
def test_a_method_without_the_right_deadline_is_found(
    name: str, change: Callable[[Options], object], found: list[str]
) -> None:
    assert planted(name, change) == found


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("GetJob", lambda options: options.ClearField("idempotency_level"), [UNLEVELLED]),
        ("GetJob", level(Options.IDEMPOTENCY_UNKNOWN), [UNLEVELLED]),
        (
            "GetJob",
            level(Options.IDEMPOTENT),
            ["changes something, unlike its action job.read", "changes something, unlike HTTP GET"],
        ),
        ("DiffDocuments", level(Options.IDEMPOTENT), ["changes something, unlike its action job.read"]),
        ("GetKeys", level(Options.IDEMPOTENT), ["changes something, unlike HTTP GET"]),
        (
            "DeleteAsset",
            level(Options.NO_SIDE_EFFECTS),
            ["only reads, unlike its action asset.delete", "only reads, unlike HTTP DELETE"],
        ),
        (
            "SubmitJob",
            level(Options.NO_SIDE_EFFECTS),
            ["only reads, unlike its action job.create", "only reads and needs no request_id"],
        ),
    ],
)
def test_a_method_without_the_right_level_is_found(
    name: str, change: Callable[[Options], object], found: list[str]
) -> None:
    assert planted(name, change) == found


def test_writes_without_a_request_id_are_these() -> None:
    contracts = Contracts(committed())
    writes = [
        method
        for service in contracts.services()
        for method in service.methods
        if method.GetOptions().idempotency_level == Options.IDEMPOTENT
    ]
    found = {method.full_name for method in writes if "request_id" not in method.input_type.fields_by_name}
    assert found == set(WITHOUT_REQUEST_ID), "give the request a request_id, or say what a second attempt does"


def test_buf_compares_levels_once_the_last_release_has_them() -> None:
    images = [*(ROOT / "protos" / "released").glob("*.binpb")]
    assert len(images) > 1
    released = [descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()) for image in images]
    has_levels = any(method.options.HasField("idempotency_level") for each in released for method in methods(each))
    left_out = "RPC_SAME_IDEMPOTENCY_LEVEL" in (ROOT / "buf.yaml").read_text(encoding="utf-8")
    assert left_out != has_levels, "released contracts with levels are compared: remove the exception from buf.yaml"
