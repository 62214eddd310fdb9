"""Making a result: inputs read, the provider called once, artefacts stored."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mesh.errors import Reason, SomaError, is_transient
from mesh.ids import derive
from mesh.redaction import Redactor
from soma_providers.port import Artefact, Failure, InputArtefact, Invocation, ProviderBusyError, ProviderError
from svc_executor.domain.erasure import ErasedTextError, check_texts
from svc_executor.domain.inputs import (
    LARGE_INPUT_BYTES,
    MAX_TEXT_CHARS,
    InputBudget,
    InputsTooLargeError,
    asset_inputs,
    call_params,
    origin_of,
    referenced_steps,
    with_feedback_in_prompt,
)
from svc_executor.domain.job import ExecutionContent, ExecutionStatus
from svc_executor.domain.peers import Upload
from svc_executor.domain.provider_call import CallOutcome, storable_outcome
from svc_executor.domain.task_dsl import StepType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from mesh.clock import Clock
    from soma_providers.port import Catalogue, Feedback, InvocationResult, JsonValue, Provider, ProviderSlot
    from svc_executor.app.ports import Assets, Credentials, InputSlots
    from svc_executor.app.provider_calls import ProviderCalls
    from svc_executor.domain.job import Execution, Job, Step
    from svc_executor.domain.peers import AssetInfo
    from svc_executor.domain.provider_call import ProviderCall

_EXTENSION_SEPARATOR = "."
_HASHED_BYTES = 1 << 20
"""What is hashed on the event loop, in about a millisecond; larger contents are hashed in a thread."""


@dataclass(frozen=True)
class AttemptContext:
    """An attempt with all that it is made from. `steps` are the step and those it depends on, `accepted` their
    results, by step name.

    `call` is that of an earlier try of the attempt. `inputs` are the assets that its provider is given, by input name,
    as soon as they are known.
    """

    job: Job
    step: Step
    execution: Execution
    steps: Mapping[str, Step]
    accepted: Mapping[str, Execution]
    feedback: tuple[Feedback, ...] = ()
    call: ProviderCall | None = None
    inputs: Mapping[str, AssetInfo] = field(default_factory=dict)


@runtime_checkable
class _LimitedProvider(Protocol):
    """A provider with a limited number of slots."""

    def try_acquire(
        self, tool_id: str, provider: str, tenant_id: str, endpoint: str = ""
    ) -> AbstractContextManager[ProviderSlot]:
        """Hold a slot for one invocation; raises ProviderBusyError at once when none is free."""


class ProviderInvoker:
    """Calls the provider of an attempt that was started, and makes an ended attempt of the outcome.

    `timeout_s` bounds the provider's time.
    """

    def __init__(
        self,
        assets: Assets,
        catalogue: Catalogue,
        credentials: Credentials,
        calls: ProviderCalls,
        clock: Clock,
        *,
        large_inputs: InputSlots,
        timeout_s: float,
    ) -> None:
        self._assets = assets
        self._catalogue = catalogue
        self._credentials = credentials
        self._calls = calls
        self._clock = clock
        self._large_inputs = large_inputs
        self._timeout_s = timeout_s

    async def call(self, context: AttemptContext) -> CallOutcome:
        """The outcome of the attempt's call, made now unless it is known; raises only what waiting would mend.

        Whatever the provider said, and whoever kept it, the texts of the outcome can be stored.
        """
        return storable_outcome(await self._outcome(context))

    async def _outcome(self, context: AttemptContext) -> CallOutcome:
        earlier = await self._calls.find(context)
        if earlier is not None:
            return earlier
        try:
            check_texts(context.step.task, context.steps)
            with _acquire_slot(
                self._provider(context), context
            ) as slot:  # before the inputs, which a busy provider saves
                context = replace(context, inputs=await self._input_assets(context))
                with self._input_slot(context):
                    invocation = await self._invocation(context)
                    return await self._calls.invoke_once(context, slot.invoke, invocation)
        except ProviderBusyError as busy:
            raise SomaError(Reason.OVERLOADED, busy.message, retry_after_s=busy.retry_after_s) from None
        except InputsTooLargeError as error:
            return CallOutcome(None, error_code=Failure.INVALID_INPUT.value, error_message=f"the step has {error}")
        except ErasedTextError as error:
            return CallOutcome(None, error_code=Reason.FAILED_PRECONDITION.value, error_message=str(error))
        except ProviderError as error:
            return CallOutcome(None, error_code=error.reason.value, error_message=error.message)
        except SomaError as error:
            if is_transient(error):
                raise
            return CallOutcome(None, error_code=error.reason.value, error_message=error.message)

    async def finish(self, context: AttemptContext, outcome: CallOutcome, stored: dict[str, None]) -> Execution:
        """The attempt with its stored result or its failure, with what the call used; raises as `call` does.

        `stored` receives the ids of assets in their order, so that those of an attempt that fails half-way are known.
        """
        if outcome.result is None:
            return self._failed(context, outcome, outcome.error_code, outcome.error_message)
        try:
            await self._store(context, outcome.result, stored)
        except ProviderError as error:
            return self._failed(context, outcome, error.reason.value, error.message)
        except SomaError as error:
            if is_transient(error):
                raise
            return self.fail(context, outcome, error, stored)
        return replace(self._succeeded(context.execution, outcome, outcome.result), asset_ids=tuple(stored))

    def fail(self, context: AttemptContext, outcome: CallOutcome, error: SomaError, stored: Iterable[str]) -> Execution:
        """The attempt as failed by an error, with what its call used and the assets that were stored before."""
        failed = self._failed(context, outcome, error.reason.value, error.message)
        return replace(failed, asset_ids=tuple(stored))

    async def release_assets(self, context: AttemptContext, asset_ids: Iterable[str]) -> None:
        """Give up assets that no attempt records."""
        for asset_id in asset_ids:
            await self._assets.release(asset_id, context.job.job_id, "its attempt was ended before it was recorded")

    async def _invocation(self, context: AttemptContext) -> Invocation:
        execution, task = context.execution, context.step.task
        capability = execution.capability
        inputs = await self._inputs(context)
        params = call_params(task, execution.params, capability.default_parameters)
        params = with_feedback_in_prompt(task, params, context.feedback)
        if task.step_type is StepType.COMPOSE_DOCUMENT:
            params["provenance"] = _origins(context, inputs)
        return Invocation(
            tool_id=capability.tool_id,
            provider=capability.provider,
            model=capability.model,
            step_type=execution.step_type,
            task_type=task.task_type,
            params=params,
            idempotency_key=execution.idempotency_key,
            timeout_s=self._timeout_s,
            tenant_id=context.job.tenant_id,
            constraints=task.constraints,
            inputs=inputs,
            feedback=context.feedback,
            endpoint=capability.endpoint,
            owner_tenant_id=capability.owner_tenant_id,
            credentials=await self._credentials.read(context.job.tenant_id, capability.credential_path),
        )

    async def _input_assets(self, context: AttemptContext) -> dict[str, AssetInfo]:
        """Assets under the name of their source: the main one, and the others with their file ending behind it.

        Raises InputsTooLargeError before any of them is read.
        """
        budget = InputBudget()
        inputs_by_name: dict[str, AssetInfo] = {}
        for source in asset_inputs(context.step.task, context.steps):
            for position, asset_id in enumerate(source.asset_ids):
                asset = await self._assets.describe(asset_id)
                budget.spend(asset.size_bytes)
                extension = asset.filename.rpartition(_EXTENSION_SEPARATOR)[2].lower()
                inputs_by_name[source.name if position == 0 else f"{source.name}.{extension}"] = asset
        return inputs_by_name

    def _input_slot(self, context: AttemptContext) -> AbstractContextManager[None]:
        """A slot for inputs that are large, which stay in memory until the call is over."""
        if sum(asset.size_bytes for asset in context.inputs.values()) <= LARGE_INPUT_BYTES:
            return nullcontext()
        return self._large_inputs.enter(context.job.tenant_id)

    async def _inputs(self, context: AttemptContext) -> dict[str, InputArtefact | str]:
        return {name: await self._assets.load(asset) for name, asset in context.inputs.items()}

    def _provider(self, context: AttemptContext) -> Provider:
        capability = context.execution.capability
        provider = self._catalogue.provider(capability.adapter)
        if provider is None:
            raise ProviderError(Failure.UNAVAILABLE, f"{capability.capability_id} has no adapter here")
        return provider

    async def _store(self, context: AttemptContext, result: InvocationResult, stored: dict[str, None]) -> None:
        execution, job = context.execution, context.job
        for position, artefact in enumerate(_artefacts(context.step, result)):
            upload = Upload(
                artefact=_with_asset_type(artefact, execution),
                request_id=await _upload_id(execution, position, artefact),
                job_id=job.job_id,
                step_id=execution.step_id,
                execution_id=execution.execution_id,
                session_id=job.session_id,
                classification=job.options.data_classification,
            )
            stored[await self._assets.store(upload)] = None

    def _succeeded(self, execution: Execution, outcome: CallOutcome, result: InvocationResult) -> Execution:
        return replace(
            execution,
            status=ExecutionStatus.SUCCEEDED,
            content=ExecutionContent(execution.params, result.text[:MAX_TEXT_CHARS]),  # the asset has the whole text
            model=result.model or execution.capability.model,
            usage=outcome.usage,
            usage_unknown=outcome.usage is None,
            latency_ms=outcome.latency_ms,
            ended_at=self._clock.now(),
        )

    def _failed(self, context: AttemptContext, outcome: CallOutcome, code: str, message: str) -> Execution:
        return replace(
            context.execution,
            status=ExecutionStatus.FAILED,
            error_code=code,
            error_message=Redactor().text(message),
            model=context.execution.capability.model,
            usage=outcome.usage,
            usage_unknown=outcome.usage is None,
            latency_ms=outcome.latency_ms,
            ended_at=self._clock.now(),
        )


def _acquire_slot(provider: Provider, context: AttemptContext) -> AbstractContextManager[ProviderSlot]:
    capability = context.execution.capability
    if isinstance(provider, _LimitedProvider):
        return provider.try_acquire(capability.tool_id, capability.provider, context.job.tenant_id, capability.endpoint)
    return nullcontext(provider)


def _artefacts(step: Step, result: InvocationResult) -> Sequence[Artefact]:
    """What the provider made; a text that came alone is kept as a file of its own, so that it can be judged."""
    if result.artefacts:
        return result.artefacts
    if not result.text.strip():
        raise ProviderError(Failure.UNAVAILABLE, "the provider answered with nothing")
    return (Artefact(result.text.encode(), "text/markdown", f"{step.step_id}.md", "text"),)


async def _upload_id(execution: Execution, position: int, artefact: Artefact) -> str:
    """The id of an upload, the same for the same bytes only: an attempt that is made again may give others."""
    small = len(artefact.content) <= _HASHED_BYTES
    sha256 = _sha256(artefact.content) if small else await asyncio.to_thread(_sha256, artefact.content)
    return derive(execution.execution_id, "asset", str(position), sha256)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _with_asset_type(artefact: Artefact, execution: Execution) -> Artefact:
    return artefact if artefact.asset_type else replace(artefact, asset_type=execution.capability.asset_type)


def _origins(context: AttemptContext, inputs: Mapping[str, InputArtefact | str]) -> dict[str, JsonValue]:
    """Where the inputs of a document come from, by input name; texts by the name of their step."""
    inputs_by_name: dict[str, JsonValue] = {}
    for name in referenced_steps(context.step.task):
        execution = context.accepted.get(name)
        if execution is None:
            continue
        artefact = inputs.get(name)
        content = artefact.content if isinstance(artefact, InputArtefact) else context.steps[name].text.encode()
        inputs_by_name[name] = origin_of(execution, _sha256(content))
    return inputs_by_name
