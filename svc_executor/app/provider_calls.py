"""Calling providers so that an attempt is paid for once, whatever is away afterwards."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from mesh.errors import Reason, SomaError, is_transient
from soma_providers.port import Failure, ProviderBusyError, ProviderError
from svc_executor.domain.provider_call import CallOutcome, ProviderCall, is_repeatable, lost_outcome
from svc_executor.domain.usage import NO_USAGE, clamp_usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock
    from soma_providers.port import Invocation, InvocationResult, Usage
    from svc_executor.app.ports import JobStore, OutcomeStore
    from svc_executor.app.provider_invoker import AttemptContext

    Invoke = Callable[[Invocation], Awaitable[InvocationResult]]

T = TypeVar("T")

_MARGIN_S = 10.0
_RETRY_AFTER_S = 5.0
_SAVE_TRIES = 3
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 10.0
RETRY_FOR_S = 300.0

_log = logging.getLogger(__name__)


class ProviderCalls:
    """Records a call before it is made, and stores its outcome under the attempt's id before anything else may fail.

    A repeated attempt finds the outcome. Where there is none, the call may still run in another process, or its answer
    is lost; then nobody knows what it used. Free calls of this machine are simply made again.
    """

    def __init__(
        self, store: JobStore, outcomes: OutcomeStore, clock: Clock, *, retry_for_s: float = RETRY_FOR_S
    ) -> None:
        self._store = store
        self._outcomes = outcomes
        self._clock = clock
        self._retry_for_s = retry_for_s

    async def find(self, context: AttemptContext) -> CallOutcome | None:
        """The outcome of an earlier call for the attempt; None when the provider is to be called.

        Raises CONFLICT while an earlier call may still run.
        """
        call = context.call
        if call is None:
            return None
        known = await self._outcomes.find(call.tenant_id, call.execution_id)
        if known is not None:
            return known
        if is_repeatable(context.execution):
            return None
        left = (call.ends_at - self._clock.now()).total_seconds()
        if left > 0:
            raise SomaError(
                Reason.CONFLICT,
                "an earlier try of this attempt may still wait for its provider",
                retry_after_s=min(left, _RETRY_AFTER_S),
            )
        return lost_outcome()

    async def outcome(self, call: ProviderCall) -> CallOutcome | None:
        """The stored outcome of a call; None when there is none, or none can be read now."""
        try:
            return await self._outcomes.find(call.tenant_id, call.execution_id)
        except SomaError as error:
            _log.warning("what a call used is not known: %s", error.reason.value)
            return None

    async def invoke_once(self, context: AttemptContext, invoke: Invoke, invocation: Invocation) -> CallOutcome:
        """Call the provider once and store the outcome."""
        is_paid = not is_repeatable(context.execution)
        if is_paid:
            await self._record_call(context, invocation.timeout_s)
        try:
            outcome = await self._outcome(context, invoke, invocation)
        except asyncio.CancelledError:
            if is_paid:
                await _run_to_completion(self._record_cut_off(context))
            raise
        except ProviderBusyError:
            if is_paid:
                await _run_to_completion(self._remove_call(context))
            raise
        if is_paid:
            outcome = replace(outcome, stored=await _run_to_completion(self._save(context, outcome)))
        return outcome

    async def retry_while_unavailable(
        self,
        context: AttemptContext,
        outcome: CallOutcome,
        action: Callable[[], Awaitable[T]],
        on_timeout: Callable[[SomaError], T] | None = None,
    ) -> T:
        """Run an action, and retry it while a service is unavailable and the outcome could not be stored.

        Raises the error of the service when a repeated attempt can go on, or when the time is over and there is no
        `on_timeout`.
        """
        deadline, backoff_s = self._clock.monotonic() + self._retry_for_s, _FIRST_BACKOFF_S
        while True:
            try:
                return await action()
            except SomaError as error:
                if not is_transient(error) or await self._is_saved(context, outcome):
                    raise
                if self._clock.monotonic() >= deadline:
                    if on_timeout is None:
                        raise
                    return on_timeout(error)
            await self._clock.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, _MAX_BACKOFF_S)

    async def delete(self, tenant_id: str, key: str) -> bool:
        """Delete a stored outcome; False when that has to be left to the sweep."""
        try:
            await self._outcomes.delete(tenant_id, key)
        except SomaError as error:
            _log.warning("a kept result is erased later: %s", error.reason.value)
            return False
        return True

    async def _is_saved(self, context: AttemptContext, outcome: CallOutcome) -> bool:
        """Try once more to store the outcome. Returns whether a repeated attempt needs no other call.

        What was decided without a call is decided again, and never kept: it would be taken for the result of a call.
        """
        if outcome.stored or not outcome.called:
            return True
        if not is_repeatable(context.execution):
            return await _run_to_completion(self._save(context, outcome))
        try:
            await self._record_call(context, 0.0)
        except SomaError:
            return True
        await _run_to_completion(self._save(context, outcome))
        return True

    async def _record_call(self, context: AttemptContext, timeout_s: float) -> None:
        """Record that a call is under way, unless the attempt ended or another try has started one meanwhile."""
        execution, now = context.execution, self._clock.now()
        async with self._store.transaction(context.job.tenant_id, context.job.job_id) as transaction:
            current = await transaction.execution(execution.step_id, execution.attempt)
            if current is None or current.ended:
                raise SomaError(Reason.FAILED_PRECONDITION, "the attempt was ended meanwhile")
            if await transaction.call(execution.execution_id) is not None:
                raise SomaError(
                    Reason.CONFLICT, "another try of this attempt has called the provider", retry_after_s=_RETRY_AFTER_S
                )
            await transaction.save_call(
                ProviderCall(
                    execution.execution_id,
                    context.job.job_id,
                    context.job.tenant_id,
                    execution.idempotency_key,
                    started_at=now,
                    ends_at=now + timedelta(seconds=timeout_s + _MARGIN_S * bool(timeout_s)),
                )
            )

    async def _record_cut_off(self, context: AttemptContext) -> None:
        """Record that the call is over: it was cut off here, so nobody waits for its answer."""
        try:
            async with self._store.transaction(context.job.tenant_id, context.job.job_id) as transaction:
                call = await transaction.call(context.execution.execution_id)
                if call is not None:
                    await transaction.save_call(replace(call, ends_at=self._clock.now()))
        except SomaError as error:
            _log.warning("a call that was cut off counts as running until its deadline: %s", error.reason.value)

    async def _remove_call(self, context: AttemptContext) -> None:
        async with self._store.transaction(context.job.tenant_id, context.job.job_id) as transaction:
            await transaction.remove_call(context.execution.execution_id)

    async def _outcome(self, context: AttemptContext, invoke: Invoke, invocation: Invocation) -> CallOutcome:
        started, execution = self._clock.monotonic(), context.execution
        try:
            result = await invoke(invocation)
        except ProviderBusyError:
            raise
        except ProviderError as error:
            outcome = CallOutcome(None, _usage_of(error), 0, error.reason.value, error.message)
        except SomaError as error:
            if is_transient(error) and is_repeatable(execution):
                raise
            outcome = CallOutcome(None, None, 0, error.reason.value, error.message)
        except Exception:  # noqa: BLE001 - an adapter may raise anything; the capability is excluded, the job goes on
            _log.exception("adapter %s broke its contract", execution.capability.adapter)
            text = f"{execution.capability.capability_id} failed for a reason of ours"
            outcome = CallOutcome(None, None, 0, Reason.INTERNAL.value, text)
        else:
            outcome = CallOutcome(result, clamp_usage(result.usage))
        return replace(outcome, called=True, latency_ms=round((self._clock.monotonic() - started) * 1_000))

    async def _save(self, context: AttemptContext, outcome: CallOutcome) -> bool:
        started = self._clock.monotonic()
        for left in reversed(range(_SAVE_TRIES)):
            try:
                await self._outcomes.save(context.job.tenant_id, context.execution.execution_id, outcome)
            except SomaError as error:
                if not left or not is_transient(error):
                    _log.warning("a result could not be kept: %s", error.message)
                    return False
                await self._clock.sleep(_FIRST_BACKOFF_S)
            else:
                if self._clock.monotonic() - started > _MARGIN_S:
                    await self._delete_if_call_removed(context)
                return True
        return False

    async def _delete_if_call_removed(self, context: AttemptContext) -> None:
        """Delete an outcome that was stored after its attempt was closed."""
        job, execution_id = context.job, context.execution.execution_id
        async with self._store.transaction(job.tenant_id, job.job_id) as transaction:
            has_call = await transaction.call(execution_id) is not None
        if not has_call:
            await self.delete(job.tenant_id, execution_id)


def _usage_of(error: ProviderError) -> Usage | None:
    """What a failed call used: what the provider says, or nobody knows."""
    if error.usage is not None:
        return clamp_usage(error.usage)
    return None if error.reason is Failure.TIMEOUT else NO_USAGE


async def _run_to_completion(awaitable: Awaitable[T]) -> T:
    """Finish this though the attempt is cancelled meanwhile, and be cancelled then."""
    task = asyncio.ensure_future(awaitable)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_MARGIN_S)
        raise
