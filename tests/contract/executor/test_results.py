"""Both stores of kept outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.settings import BlobSettings
from mesh.stores import blobs
from soma_providers.port import Artefact, InvocationResult, Usage
from svc_executor.adapters.memory.peers import MemoryResults
from svc_executor.adapters.results import BlobResults, decode, encode
from svc_executor.domain.provider_call import CallOutcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_executor.app.ports import Results

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
OUTCOME = CallOutcome(RESULT, cost_micro_usd=40_000, latency_ms=12)


@pytest.fixture(params=["memory", "blobs"])
async def results(request: pytest.FixtureRequest) -> AsyncIterator[Results]:
    if request.param == "memory":
        yield MemoryResults()
        return
    async with blobs.open(BlobSettings(url="memory://")) as store:
        yield BlobResults(store)


async def test_an_outcome_is_found_as_it_was_and_marked_as_kept(results: Results) -> None:
    await results.keep("tenant-a", "key-1", OUTCOME)
    found = await results.find("tenant-a", "key-1")
    assert found == CallOutcome(RESULT, cost_micro_usd=40_000, latency_ms=12, kept=True)


async def test_a_failed_outcome_is_kept_too(results: Results) -> None:
    failed = CallOutcome(None, 7, 3, "TIMEOUT", "too late")
    await results.keep("tenant-a", "key-1", failed)
    assert await results.find("tenant-a", "key-1") == CallOutcome(None, 7, 3, "TIMEOUT", "too late", kept=True)


async def test_another_tenant_finds_nothing_under_the_same_key(results: Results) -> None:
    await results.keep("tenant-a", "key-1", OUTCOME)
    assert await results.find("tenant-b", "key-1") is None
    await results.erase("tenant-b", "key-1")
    assert await results.find("tenant-a", "key-1") is not None


async def test_what_is_erased_is_gone_and_may_be_erased_again(results: Results) -> None:
    await results.keep("tenant-a", "key-1", OUTCOME)
    for _ in range(2):
        await results.erase("tenant-a", "key-1")
        assert await results.find("tenant-a", "key-1") is None


async def test_a_result_beyond_the_bound_is_not_kept() -> None:
    """Only for the store that writes: memory has no bound of its own."""
    async with blobs.open(BlobSettings(url="memory://")) as store:
        results = BlobResults(store, max_bytes=100)
        with pytest.raises(SomaError) as caught:
            await results.keep("tenant-a", "key-1", OUTCOME)
        assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
        assert await results.find("tenant-a", "key-1") is None


@pytest.mark.parametrize("result", [RESULT, None])
def test_a_cost_that_an_older_version_did_not_bound_is_bounded(result: InvocationResult | None) -> None:
    assert decode(encode(CallOutcome(result, cost_micro_usd=10**30))).cost_micro_usd == 10**15


def test_workers_of_other_versions_read_an_outcome() -> None:
    assert b"made" not in encode(replace(OUTCOME, made=True))
    assert decode(encode(replace(OUTCOME, made=True))) == replace(OUTCOME, kept=True)
