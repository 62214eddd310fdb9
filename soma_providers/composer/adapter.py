"""The adapter: the library `soma_documents` as a provider, `document_composer@local`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import soma_documents
from soma_documents import ComposeError, PdfError
from soma_providers.media.documents import input_files
from soma_providers.port import (
    Artefact,
    Failure,
    FailureOrigin,
    InvocationResult,
    ProbeResult,
    ProviderError,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import (
        EstimateRequest,
        InputArtefact,
        Invocation,
        JsonValue,
        Processes,
        Provider,
        ProviderContext,
    )

    Inputs = Mapping[str, InputArtefact | str]

_MEMORY_MB = 1_024


class Composer:
    """Composes in child processes, since layout keeps a core busy."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("composer", memory_mb=_MEMORY_MB)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Compose `params` (see `docs/documents.md`) from the inputs that they name."""
        return await self._pool.run(
            compose, invocation.params, invocation.inputs, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s
        )

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call is all that is counted
        """One call."""
        return Usage()

    async def probe(self) -> ProbeResult:
        """Always healthy: all it needs is in the base installation."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept here."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter; fonts and templates are read with the first document."""
    return Composer(context.processes)


def compose(params: Mapping[str, JsonValue], inputs: Inputs) -> InvocationResult:
    """Compose and write every output that was asked for; raise ProviderError. A function for child processes."""
    try:
        written = soma_documents.write(params, input_files(inputs))
    except ComposeError as error:
        first = error.problems[0].pointer
        raise ProviderError(Failure.INVALID_INPUT, f"the document has faults: {error}", pointer=first) from None
    except PdfError as error:
        refused = ProviderError(
            Failure.UNAVAILABLE, "PDF rendering failed because of an internal error", origin=FailureOrigin.PLATFORM
        )
        refused.add_note(f"Typst refused it: {error}")
        raise refused from error
    facts: dict[str, JsonValue] = asdict(written.summary) | {"gaps": list(written.summary.gaps)}
    artefacts = tuple(
        Artefact(
            content=file.content,
            media_type=file.media_type,
            filename=file.filename,
            asset_type="bundle" if file.output == "bundle" else "document",
            metadata=facts,
        )
        for file in written.files
    )
    return InvocationResult(artefacts=artefacts, usage=Usage(calls=1), model=written.engine, metadata=facts)
