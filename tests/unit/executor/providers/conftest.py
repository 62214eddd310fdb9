"""What the tests of providers share: an invocation to vary, an egress that may call local servers, a key."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from mesh.clock import SystemClock
from svc_executor.adapters.egress import EgressRules, GuardedEgress
from svc_executor.domain.provider import Invocation, InvocationResult, ProviderContext

Invoke = Callable[..., Invocation]
Contexts = Callable[..., AbstractAsyncContextManager[ProviderContext]]


class Key:
    """A credential in the clear."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text."""
        return self._text


@pytest.fixture
def invocation() -> Invoke:
    """Build an invocation from params and what differs from the usual."""

    def build(params: dict[str, object], **others: object) -> Invocation:
        usual: dict[str, object] = {
            "tool_id": "tool",
            "provider": "local",
            "model": "",
            "step_type": "generate_diagram",
            "task_type": "image_diagram",
            "idempotency_key": "job-1/step-1/attempt-1",
            "timeout_s": 60.0,
            "tenant_id": "tenant-1",
        }
        return Invocation(params=params, **{**usual, **others})

    return build


@pytest.fixture
def provider_context(tmp_path: Path) -> Contexts:
    """Build a context whose egress may call the given host:port pairs of this machine."""

    @asynccontextmanager
    async def build(*loopback: str, **settings: str) -> AsyncIterator[ProviderContext]:
        async with GuardedEgress(EgressRules(loopback=frozenset(loopback))) as egress:
            yield ProviderContext(SystemClock(), egress, tmp_path, settings)

    return build


def opened(result: InvocationResult) -> Image.Image:
    """Open the main artefact."""
    return Image.open(io.BytesIO(result.artefacts[0].content))
