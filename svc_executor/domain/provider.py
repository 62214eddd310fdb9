"""The port to providers: what an adapter is given, what it gives back, and how it fails.

An adapter invokes one model or tool and nothing else. It does no selection, storage, policy or retries: those stand
around it once. `docs/providers.md` says how to add one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mesh.clock import Clock

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
    is left of the deadline; `endpoint` the base address of a remote provider.
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
    """What an invocation used up, in the units that prices are given in."""

    calls: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    seconds: float = 0.0


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
    """Whether a provider would answer; `detail` is one sentence for people, empty when all is well."""

    healthy: bool
    detail: str = ""
    latency_ms: float = 0.0


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


class ProviderError(Exception):
    """A failed invocation, in words for people and without internals.

    `pointer` names the parameter at fault as a JSON pointer below `params`; `retry_after_s` is what the provider asked
    for. `blamed` is False where what the caller named failed, such as the page of a screenshot: that says nothing of
    the provider, whose circuit stays closed for others.
    """

    def __init__(
        self,
        reason: Failure,
        message: str,
        *,
        retry_after_s: float | None = None,
        pointer: str = "",
        blamed: bool = True,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.pointer = pointer
        self.blamed = blamed

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.reason in {Failure.RATE_LIMITED, Failure.UNAVAILABLE, Failure.TIMEOUT}

    def __repr__(self) -> str:
        return f"ProviderError({self.reason.value}, {self.message!r})"


def invalid_input(pointer: str, description: str) -> ProviderError:
    """Give the error for one bad parameter; `pointer` is a JSON pointer such as "/diagram/nodes/0/id"."""
    return ProviderError(Failure.INVALID_INPUT, f"params{pointer}: {description}", pointer=pointer)


@dataclass(frozen=True)
class EgressRequest:
    """One HTTP request to a host that is not ours.

    `max_bytes` caps the answer's body after decompression. Redirects of GET and HEAD are followed `max_redirects`
    times, each judged anew; those of other methods are given back as they are.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    timeout_s: float = 30.0
    max_bytes: int = 32 * 1024 * 1024
    max_redirects: int = 3


@dataclass(frozen=True)
class EgressResponse:
    """The whole answer; header names are lower case, `url` is where it came from after redirects."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    url: str = ""


class EgressFailure(StrEnum):
    """Why nothing came back."""

    REFUSED = "REFUSED"
    TIMEOUT = "TIMEOUT"
    UNREACHABLE = "UNREACHABLE"
    TOO_LARGE = "TOO_LARGE"
    INCOMPLETE = "INCOMPLETE"


class EgressError(Exception):
    """A request that was refused, or whose answer did not arrive whole; text for people."""

    def __init__(self, reason: EgressFailure, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Egress(Protocol):
    """The one guarded way out."""

    async def admit(self, url: str) -> None:
        """Raise EgressError(REFUSED) unless the address may be fetched now."""

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """Fetch through the guard, redirects included; raise EgressError."""


@dataclass(frozen=True)
class ProviderContext:
    """What an adapter's `create(context)` is given.

    `home` is a folder that the adapter may write below; `settings` are the process's settings for providers; after
    `idle_s` seconds without use an adapter lets go of a model that it keeps loaded.
    """

    clock: Clock
    egress: Egress
    home: Path
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    idle_s: float = 300.0
