"""Speech by eSpeak NG, run for real."""

from __future__ import annotations

import array
import io
import wave
from typing import TYPE_CHECKING

import pytest

from soma_providers.espeak import adapter as espeak
from soma_providers.port import Failure
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import InvocationResult, JsonValue, Provider

TEXT = "The sign-in feature lets users sign in with a password or a passkey."


@pytest.fixture
async def speech() -> AsyncIterator[Provider]:
    async with harness.context() as context:
        provider = espeak.create(context)
        yield provider
        await provider.aclose()


def samples_of(result: InvocationResult) -> tuple[int, array.array[int]]:
    with wave.open(io.BytesIO(result.artefacts[0].content)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), array.array("h", file.readframes(file.getnframes()))


async def test_a_text_becomes_an_audible_wav(speech: Provider) -> None:
    result = await speech.invoke(harness.invocation({"text": TEXT}))
    rate, samples = samples_of(result)
    assert result.artefacts[0].media_type == "audio/wav"
    assert 3 < len(samples) / rate < 9
    assert 20_000 < max(abs(sample) for sample in samples) < 32_767


async def test_the_usage_is_its_length(speech: Provider) -> None:
    result = await speech.invoke(harness.invocation({"text": TEXT}))
    rate, samples = samples_of(result)
    assert result.usage.seconds == pytest.approx(len(samples) / rate, abs=0.01)
    assert result.artefacts[0].metadata["duration_s"] == pytest.approx(result.usage.seconds, abs=0.01)


async def test_equal_input_gives_equal_bytes(speech: Provider) -> None:
    call = harness.invocation({"text": TEXT})
    assert (await speech.invoke(call)).artefacts[0].content == (await speech.invoke(call)).artefacts[0].content


async def test_a_higher_rate_is_shorter(speech: Provider) -> None:
    slow = await speech.invoke(harness.invocation({"text": TEXT, "rate_wpm": 100}))
    fast = await speech.invoke(harness.invocation({"text": TEXT, "rate_wpm": 250}))
    assert fast.usage.seconds < slow.usage.seconds * 0.7


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"text": "  "}, "/text"),
        ({"text": "x" * 5001}, "/text"),
        ({"text": TEXT, "voice": "klingon!"}, "/voice"),
        ({"text": TEXT, "rate_wpm": 10}, "/rate_wpm"),
        ({"text": TEXT, "pitch": 3.5}, "/pitch"),
    ],
)
async def test_a_fault_is_named_by_its_pointer(speech: Provider, params: dict[str, JsonValue], pointer: str) -> None:
    assert await harness.pointer_of_refusal(speech, params) == pointer


async def test_a_deadline_is_kept(speech: Provider) -> None:
    error = await harness.refusal(speech, harness.invocation({"text": TEXT * 60}, timeout_s=0.01))
    assert error.reason is Failure.TIMEOUT


async def test_it_is_healthy_where_it_is_installed(speech: Provider) -> None:
    assert (await speech.probe()).healthy
