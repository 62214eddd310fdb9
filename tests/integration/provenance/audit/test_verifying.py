"""A chain is verified here, and its export elsewhere."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mesh.errors import SomaError
from mesh.testing.server import served
from soma.provenance.v1 import audit_service_pb2 as pb
from soma.provenance.v1.audit_service_pb2_grpc import AuditServiceStub, add_AuditServiceServicer_to_server
from svc_provenance.rpc.audit_service import AuditServicer
from tests.chaos.provenance.audit.under_test import AuditUnderTest, event

if TYPE_CHECKING:
    from mesh.testing.server import RunningServer


SCRIPT = Path(__file__).parents[4] / "examples" / "verify_audit.py"


async def test_a_pass_says_what_it_verified_and_what_is_wrong(place: AuditUnderTest, service: RunningServer) -> None:
    await place.race(1, 6)
    await place.anchor()
    stub = AuditServiceStub(service.channel)
    whole = await stub.VerifyAudit(pb.VerifyAuditRequest())
    assert (whole.intact, whole.entries, whole.first_sequence, whole.last_sequence) == (True, 6, 1, 6)
    assert (whole.anchor.sequence, whole.anchor.key_version) == (6, 1)
    part = await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=4))
    assert (part.intact, part.entries, part.first_sequence) == (True, 3, 4)
    await place.race(1, 2)
    end = await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=8))
    assert (end.intact, end.entries, end.anchor.sequence) == (True, 1, 6)
    await place.owner.execute("UPDATE audit_events SET reason = '' WHERE sequence = 5")
    found = await stub.VerifyAudit(pb.VerifyAuditRequest())
    assert [(fault.sequence, fault.kind) for fault in found.faults] == [(5, pb.AUDIT_FAULT_KIND_CHANGED)]
    with pytest.raises(SomaError, match="ends at 8"):
        await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=9))


async def test_a_chain_is_verified_in_parts(place: AuditUnderTest) -> None:
    await place.race(1, 5)
    await place.anchor()
    await place.race(1, 6)
    servicer = AuditServicer(place.in_parts(4, 10))
    async with served([(add_AuditServiceServicer_to_server, servicer)]) as running:
        stub, request, found = AuditServiceStub(running.channel), pb.VerifyAuditRequest(), []
        while True:
            found.append(await stub.VerifyAudit(request))
            request.from_sequence, request.previous_digest = found[-1].next_sequence, found[-1].last_digest
            if not request.from_sequence:
                break
        assert [(part.intact, part.first_sequence, part.last_sequence) for part in found] == [
            (True, 1, 4), (True, 5, 8), (True, 9, 11),
        ]  # fmt: skip
        assert [part.anchor.sequence for part in found] == [0, 5, 5]
        wrong = await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=5, previous_digest="0" * 64))
        assert [(fault.sequence, fault.kind) for fault in wrong.faults] == [(5, pb.AUDIT_FAULT_KIND_BROKEN_LINK)]
        for bad in ("0", "G" * 64, "0" * 66):
            with pytest.raises(SomaError, match="previous_digest"):
                await stub.VerifyAudit(pb.VerifyAuditRequest(from_sequence=5, previous_digest=bad))


async def exported(stub: AuditServiceStub, file: Path, **request: int) -> None:
    call: Any = stub.ExportAudit(pb.ExportAuditRequest(**request))  # type: ignore[arg-type]
    pieces = [piece async for piece in call]
    assert {piece.content_type for piece in pieces} == {"application/x-ndjson"}
    await asyncio.to_thread(file.write_bytes, b"".join(piece.data for piece in pieces))


def key_of(file: Path) -> str:
    """The public key that an export names."""
    return str(json.loads(file.read_text().splitlines()[-1])["public_key"])


def spoil(file: Path, old: str, new: str) -> None:
    """Changes a text of an export."""
    file.write_text(file.read_text().replace(old, new))


def verified(file: Path, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(file), *more], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


async def test_an_export_is_verified_elsewhere_by_the_script(
    place: AuditUnderTest, service: RunningServer, tmp_path: Path
) -> None:
    await place.tell(*(event(number, reason='"é"\n€\x01') for number in range(1_100)))
    await place.anchor()
    stub, file = AuditServiceStub(service.channel), tmp_path / "export.ndjson"
    await exported(stub, file)
    key = key_of(file)
    code, said = await asyncio.to_thread(verified, file, key)
    assert (code, said.startswith("1100 entries, intact; anchored up to entry 1100")) == (0, True), said
    assert (await asyncio.to_thread(verified, file, "another"))[0] == 1
    spoil(file, "alice700", "eve")
    code, said = await asyncio.to_thread(verified, file)
    assert (code, said.splitlines()[0]) == (1, "701: the content does not fit the digest")
    await exported(stub, file, from_sequence=1_000)
    assert (await asyncio.to_thread(verified, file))[0] == 0


async def test_the_script_finds_that_the_end_of_an_export_was_cut_off(
    place: AuditUnderTest, service: RunningServer, tmp_path: Path
) -> None:
    await place.race(1, 8)
    await place.anchor()
    await place.race(1, 2, first=8)
    file = tmp_path / "export.ndjson"
    await exported(AuditServiceStub(service.channel), file)
    assert (await asyncio.to_thread(verified, file))[0] == 0
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:5], lines[-1]]))
    code, said = await asyncio.to_thread(verified, file)
    assert (code, said.splitlines()[0]) == (
        1, "the end was cut off: the anchor is of entry 8, the last entry is 5",
    )  # fmt: skip
