"""Both stores of kept outcomes."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.settings import BlobSettings
from mesh.stores import blobs
from soma_providers.port import Artefact, InvocationResult, Usage
from svc_executor.adapters.outcomes import BlobOutcomes, decode, encode
from svc_executor.domain.provider_call import CallOutcome
from svc_executor.domain.usage import NO_USAGE
from tests.in_memory.executor.peers import MemoryOutcomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_executor.app.ports import OutcomeStore

RESULT = InvocationResult(
    artefacts=(
        Artefact(b"\x00\xff" * 9, "image/png", "one.png", "image", {"seed": 7, "size": [1, 2]}),
        Artefact(b"", "text/plain", "two.txt", "text"),
    ),
    text="Wörter",
    usage=Usage(calls=1, output_tokens=5, seconds=0.5),
    model="m-1",
    metadata={"scale": None},
)
OUTCOME = CallOutcome(RESULT, RESULT.usage, latency_ms=12)


@pytest.fixture(params=["memory", "blobs"])
async def outcomes(request: pytest.FixtureRequest) -> AsyncIterator[OutcomeStore]:
    if request.param == "memory":
        yield MemoryOutcomes()
        return
    async with blobs.open(BlobSettings(url="memory://")) as store:
        yield BlobOutcomes(store)


async def test_an_outcome_is_found_as_it_was_and_marked_as_kept(outcomes: OutcomeStore) -> None:
    await outcomes.save("tenant-a", "key-1", OUTCOME)
    found = await outcomes.find("tenant-a", "key-1")
    assert found == CallOutcome(RESULT, RESULT.usage, latency_ms=12, stored=True)


@pytest.mark.parametrize("usage", [None, NO_USAGE, Usage(images=2)])
async def test_a_failed_outcome_is_kept_too(outcomes: OutcomeStore, usage: Usage | None) -> None:
    failed = CallOutcome(None, usage, 3, "TIMEOUT", "too late")
    await outcomes.save("tenant-a", "key-1", failed)
    assert await outcomes.find("tenant-a", "key-1") == replace(failed, stored=True)


async def test_another_tenant_finds_nothing_under_the_same_key(outcomes: OutcomeStore) -> None:
    await outcomes.save("tenant-a", "key-1", OUTCOME)
    assert await outcomes.find("tenant-b", "key-1") is None
    await outcomes.delete("tenant-b", "key-1")
    assert await outcomes.find("tenant-a", "key-1") is not None


async def test_what_is_erased_is_gone_and_may_be_erased_again(outcomes: OutcomeStore) -> None:
    await outcomes.save("tenant-a", "key-1", OUTCOME)
    for _ in range(2):
        await outcomes.delete("tenant-a", "key-1")
        assert await outcomes.find("tenant-a", "key-1") is None


async def test_a_result_beyond_the_bound_is_not_kept() -> None:
    """Only for the store that writes: memory has no bound of its own."""
    async with blobs.open(BlobSettings(url="memory://")) as store:
        outcomes = BlobOutcomes(store, max_bytes=100)
        with pytest.raises(SomaError) as caught:
            await outcomes.save("tenant-a", "key-1", OUTCOME)
        assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
        assert await outcomes.find("tenant-a", "key-1") is None


def encoded_by_earlier_version(outcome: CallOutcome, cost_micro_usd: int) -> bytes:
    """An outcome as a version kept it that computed costs itself."""
    content = encode(outcome)
    length = struct.unpack_from(">Q", content)[0]
    fields = json.loads(content[8 : 8 + length])
    del fields["usage"]
    head = json.dumps({**fields, "kept": False, "cost_micro_usd": cost_micro_usd}).encode()
    return struct.pack(">Q", len(head)) + head + content[8 + length :]


@pytest.mark.parametrize(
    ("outcome", "cost", "usage"),
    [
        (OUTCOME, 40_000, RESULT.usage),
        (CallOutcome(None, error_code="TIMEOUT"), 40_000, None),
        (CallOutcome(None, error_code="AUTH_FAILED"), 0, NO_USAGE),
    ],
    ids=["a result", "a failure that cost something", "a failure that cost nothing"],
)
def test_an_outcome_that_an_earlier_version_kept_is_read(outcome: CallOutcome, cost: int, usage: Usage | None) -> None:
    assert decode(encoded_by_earlier_version(outcome, cost)) == replace(outcome, usage=usage, stored=True)


def test_an_absurd_number_of_tokens_that_was_kept_is_bounded() -> None:
    absurd = replace(RESULT, usage=Usage(output_tokens=10**30))
    found = decode(encoded_by_earlier_version(CallOutcome(absurd), 10**15)).usage
    assert found == Usage(output_tokens=10**9)


def test_an_outcome_is_kept_without_what_only_its_maker_needs() -> None:
    assert b"called" not in encode(replace(OUTCOME, called=True))
    assert decode(encode(replace(OUTCOME, called=True))) == replace(OUTCOME, stored=True)
