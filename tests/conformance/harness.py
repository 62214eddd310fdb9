"""What the tests of providers share: an invocation to vary, a context that may call local servers, a key."""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from mesh.clock import SystemClock
from mesh.processes import CpuUsage
from soma_providers.port import Failure, Feedback, InputArtefact, Invocation, ProviderContext, ProviderError
from soma_providers.runtime.egress import EgressRules, GuardedEgress
from soma_providers.runtime.processes import ChildProcesses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_documents import Inputs
    from soma_providers.port import InvocationResult, JsonValue, Provider

_USUAL = Invocation(
    tool_id="tool",
    provider="local",
    model="",
    step_type="generate_diagram",
    task_type="image_diagram",
    params={},
    idempotency_key="job-1/step-1/attempt-1",
    timeout_s=60.0,
    tenant_id="tenant-1",
)


class Key:
    """A credential in the clear."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text."""
        return self._text


def invocation(params: Mapping[str, JsonValue], **others: object) -> Invocation:
    """Give an invocation with these params, and what else differs from the usual."""
    return replace(_USUAL, params=params, **others)  # type: ignore[arg-type]


def artefacts(inputs: Inputs) -> dict[str, InputArtefact | str]:
    """Give what a document shows as outputs of earlier steps."""
    return {
        name: (
            given
            if isinstance(given, str)
            else InputArtefact(given.asset_id, given.media_type, "file", given.content, given.caption)
        )
        for name, given in inputs.items()
    }


def feedback(code: str, message: str = "", **hint: JsonValue) -> tuple[Feedback, ...]:
    """Give one remark of the critic."""
    return (Feedback("clarity", code, message, hint),)


@asynccontextmanager
async def context(*loopback: str, home: Path | None = None, **settings: JsonValue) -> AsyncIterator[ProviderContext]:
    """Give a context whose egress may call the given host:port pairs of this machine."""
    async with (
        GuardedEgress(EgressRules(loopback=frozenset(loopback))) as egress,
        processes() as children,
    ):
        yield ProviderContext(SystemClock(), egress, home or Path("unused"), children, settings)


@asynccontextmanager
async def processes(cpu_s: float = 30.0) -> AsyncIterator[ChildProcesses]:
    """Give child processes for local tools."""
    children = ChildProcesses(SystemClock(), CpuUsage(SystemClock()), processes=2, cpu_s=cpu_s, idle_s=60.0)
    async with children.running():
        yield children


async def refusal(provider: Provider, call: Invocation) -> ProviderError:
    """Give the error of a call that must fail."""
    with pytest.raises(ProviderError) as caught:
        await provider.invoke(call)
    return caught.value


async def pointer_of_refusal(provider: Provider, params: Mapping[str, JsonValue], **others: object) -> str:
    """Give the JSON pointer of the parameter that a call is refused for."""
    error = await refusal(provider, invocation(params, **others))
    assert error.reason is Failure.INVALID_INPUT
    return error.pointer


def opened(result: InvocationResult) -> Image.Image:
    """Open the main artefact as a picture."""
    return Image.open(io.BytesIO(result.artefacts[0].content))
