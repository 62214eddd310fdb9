"""Invocations of providers, their results and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from soma_providers.port.capability import CapabilityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mesh.clock import Clock
    from soma_providers.port.egress import Egress
    from soma_providers.port.processes import Capacity, Processes

DEFAULT_OUTPUT_TOKENS = 1_024
"""Longest answer of a model in tokens where nothing says how long it may be."""

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""A value that JSON can hold."""


class Credential(Protocol):
    """A secret that shows itself only when asked; `mesh.secrets.Secret` is one."""

    def reveal(self) -> str:
        """Give the secret text; never log or store it."""


@dataclass(frozen=True)
class InputArtefact:
    """A stored asset that an earlier step made, with its bytes."""

    asset_id: str
    media_type: str
    filename: str
    content: bytes = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Feedback:
    """What the critic found wrong with the last attempt, and what would mend it.

    `code` is for programs ("RESOLUTION_TOO_LOW"), `hint` its numbers ({"min_width_px": 1200}), `message` for people
    and for language models.
    """

    dimension: str
    code: str
    message: str
    hint: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Invocation:
    """One call of one capability.

    `params` are the step's over the capability's defaults; `inputs` the outputs of earlier steps by their name, an
    artefact or a text; `idempotency_key` is the same when the attempt is made again after a crash; `timeout_s` is what
    is left of the deadline; `endpoint` the base address of a remote provider; `owner_tenant_id` as in `CapabilityKey`.
    """

    tool_id: str
    provider: str
    model: str
    step_type: str
    task_type: str
    params: Mapping[str, JsonValue]
    idempotency_key: str
    timeout_s: float
    tenant_id: str
    constraints: Mapping[str, JsonValue] = field(default_factory=dict)
    inputs: Mapping[str, InputArtefact | str] = field(default_factory=dict)
    feedback: tuple[Feedback, ...] = ()
    endpoint: str = ""
    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    owner_tenant_id: str = ""

    @property
    def capability(self) -> CapabilityKey:
        """The capability that is called."""
        return CapabilityKey(f"{self.tool_id}@{self.provider}", self.owner_tenant_id)


@dataclass(frozen=True)
class Artefact:
    """Bytes that a provider made.

    `asset_type` is one of diagram, image, screenshot, audio, document, text, bundle, data.
    """

    content: bytes = field(repr=False)
    media_type: str
    filename: str
    asset_type: str
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What an invocation used up, in the units that prices are given in.

    `estimated` is True where the provider did not say and the adapter gives an upper bound.
    """

    calls: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    seconds: float = 0.0
    estimated: bool = False


@dataclass(frozen=True)
class InvocationResult:
    """What an invocation made: artefacts, the main one first, and for text models the text.

    `model` is as the provider reported it; `metadata` echoes what would make the same result again (seed, scale).
    """

    artefacts: tuple[Artefact, ...] = ()
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeResult:
    """Whether a provider would answer, None where it was not asked.

    `detail` is one sentence for people, empty when all is well; `endpoint` the base address that was asked, empty for
    what runs on this machine.
    """

    healthy: bool | None
    detail: str = ""
    latency_ms: float = 0.0
    endpoint: str = ""


class Provider(Protocol):
    """One model or tool of one provider."""

    provider: str

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Do the work once; raise ProviderError when it cannot be done."""

    async def probe(self) -> ProbeResult:
        """Say cheaply whether `invoke` would work; never raises."""

    async def aclose(self) -> None:
        """Let go of processes, models and connections; may be called twice."""


class Failure(StrEnum):
    """Why a provider did not deliver."""

    RATE_LIMITED = "RATE_LIMITED"
    AUTH_FAILED = "AUTH_FAILED"
    CONTENT_REJECTED = "CONTENT_REJECTED"
    UNAVAILABLE = "UNAVAILABLE"
    INVALID_INPUT = "INVALID_INPUT"
    TIMEOUT = "TIMEOUT"


class FailureOrigin(StrEnum):
    """Where a failure originates.

    CALLER: what the tenant sent, named or is entitled to (a source that takes too long, a page that is down, a key, a
    limit of its account). PROVIDER: the provider is down, slow or answers nonsense, which concerns every tenant.
    PLATFORM: ours, such as an open circuit; says nothing of the provider.
    """

    CALLER = "caller"
    PROVIDER = "provider"
    PLATFORM = "platform"


_ORIGINS = {Failure.UNAVAILABLE: FailureOrigin.PROVIDER, Failure.TIMEOUT: FailureOrigin.PROVIDER}


class ProviderError(Exception):
    """A failed invocation, in words for people and without internals.

    `pointer` names the parameter at fault as a JSON pointer below `params`; `retry_after_s` is what the provider asked
    for. `origin` is by default the provider's for UNAVAILABLE and TIMEOUT, else the caller's. `usage` is what the
    failed invocation consumed, and so costs, all the same; None when nothing was consumed.
    """

    def __init__(
        self,
        reason: Failure,
        message: str,
        *,
        retry_after_s: float | None = None,
        pointer: str = "",
        origin: FailureOrigin | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason, message)  # both, so that it can be pickled: adapters raise it in child processes too
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.pointer = pointer
        self.origin = origin or _ORIGINS.get(reason, FailureOrigin.CALLER)
        self.usage = usage

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.reason in {Failure.RATE_LIMITED, Failure.UNAVAILABLE, Failure.TIMEOUT}

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"ProviderError({self.reason.value}, {self.message!r})"


class ProviderBusyError(Exception):
    """No slot is free at a provider now; nothing was called or consumed. Try again in `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class ProviderSlot(Protocol):
    """A slot at a provider, held for one invocation."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Invoke within deadline, circuit and retry budget; raise ProviderError."""


def invalid_input(pointer: str, description: str) -> ProviderError:
    """Give the error for one bad parameter; `pointer` is a JSON pointer such as "/diagram/nodes/0/id"."""
    return ProviderError(Failure.INVALID_INPUT, f"params{pointer}: {description}", pointer=pointer)


class Catalogue(Protocol):
    """The provider adapters of this process."""

    def provider(self, adapter: str) -> Provider | None:
        """The adapter of that name, made on first use; None when there is none."""


@runtime_checkable
class LimitedProvider(Protocol):
    """A provider that knows its capacity; others have that of the settings."""

    capacity: Capacity


@dataclass(frozen=True)
class ProviderContext:
    """What an adapter's `create(context)` is given.

    `home` is a folder that the adapter may write below; `processes` is for work that would hold the interpreter;
    `settings` are the process's settings for providers; after `idle_s` seconds without use an adapter lets go of a
    model that it keeps loaded.
    """

    clock: Clock
    egress: Egress
    home: Path
    processes: Processes
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    idle_s: float = 300.0
