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
from svc_executor.domain.usage import NOTHING_USED, bounded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.clock import Clock
    from soma_providers.port import Invocation, InvocationResult, Usage
    from svc_executor.app.ports import JobStore, Results
    from svc_executor.app.produce import AttemptContext

    Invoke = Callable[[Invocation], Awaitable[InvocationResult]]

T = TypeVar("T")

_MARGIN_S = 10.0
_LOOK_AGAIN_S = 5.0
_KEEP_TRIES = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
HOLD_S = 300.0

_log = logging.getLogger(__name__)


class ProviderCalls:
    """Marks a call before it is made, and keeps its outcome under the attempt's id before anything else may fail.

    A repeated attempt finds the outcome. Where there is none, the call may still run in another process, or its answer
    is lost; then nobody knows what it used. Free calls of this machine are simply made again.
    """

    def __init__(self, store: JobStore, results: Results, clock: Clock, *, hold_s: float = HOLD_S) -> None:
        self._store = store
        self._results = results
        self._clock = clock
        self._hold_s = hold_s

    async def find(self, context: AttemptContext) -> CallOutcome | None:
        """The outcome of an earlier call for the attempt; None when the provider is to be called.

        Raises CONFLICT while an earlier call may still run.
        """
        call = context.call
        if call is None:
            return None
        known = await self._results.find(call.tenant_id, call.execution_id)
        if known is not None:
            return known
        if is_repeatable(context.execution):
            return None
        left = (call.ends_at - self._clock.now()).total_seconds()
        if left > 0:
            raise SomaError(
                Reason.CONFLICT,
                "an earlier try of this attempt may still wait for its provider",
                retry_after_s=min(left, _LOOK_AGAIN_S),
            )
        return lost_outcome()

    async def outcome(self, call: ProviderCall) -> CallOutcome | None:
        """The kept outcome of a call; None when there is none, or none can be read now."""
        try:
            return await self._results.find(call.tenant_id, call.execution_id)
        except SomaError as error:
            _log.warning("what a call used is not known: %s", error.reason.value)
            return None

    async def make(self, context: AttemptContext, invoke: Invoke, invocation: Invocation) -> CallOutcome:
        """Call the provider once and keep the outcome."""
        paid = not is_repeatable(context.execution)
        if paid:
            await self._mark(context, invocation.timeout_s)
        try:
            outcome = await self._outcome(context, invoke, invocation)
        except asyncio.CancelledError:
            if paid:
                await _finished(self._cut(context))
            raise
        except ProviderBusyError:
            if paid:
                await _finished(self._unmark(context))
            raise
        if paid:
            outcome = replace(outcome, kept=await _finished(self._keep(context, outcome)))
        return outcome

    async def hold(
        self,
        context: AttemptContext,
        outcome: CallOutcome,
        action: Callable[[], Awaitable[T]],
        give_up: Callable[[SomaError], T] | None = None,
    ) -> T:
        """Do what follows a call. While a service is away, an outcome that could not be kept is held here, for a time.

        Raises the error of the service when a repeated attempt can go on, or when the time is over and there is no
        `give_up`.
        """
        until, pause = self._clock.monotonic() + self._hold_s, _FIRST_PAUSE_S
        while True:
            try:
                return await action()
            except SomaError as error:
                if not is_transient(error) or await self._is_kept(context, outcome):
                    raise
                if self._clock.monotonic() >= until:
                    if give_up is None:
                        raise
                    return give_up(error)
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def erase(self, tenant_id: str, key: str) -> bool:
        """Erase what was kept; False when that has to be left to the sweep."""
        try:
            await self._results.erase(tenant_id, key)
        except SomaError as error:
            _log.warning("a kept result is erased later: %s", error.reason.value)
            return False
        return True

    async def _is_kept(self, context: AttemptContext, outcome: CallOutcome) -> bool:
        """Whether a repeated attempt needs no other call, once one more try was made to keep the outcome.

        What was decided without a call is decided again, and never kept: it would be taken for the result of a call.
        """
        if outcome.kept or not outcome.made:
            return True
        if not is_repeatable(context.execution):
            return await _finished(self._keep(context, outcome))
        try:
            await self._mark(context, 0.0)
        except SomaError:
            return True
        await _finished(self._keep(context, outcome))
        return True

    async def _mark(self, context: AttemptContext, timeout_s: float) -> None:
        """Record that a call is under way, unless the attempt ended or another try has started one meanwhile."""
        execution, now = context.execution, self._clock.now()
        async with self._store.work(context.job.tenant_id, context.job.job_id) as work:
            current = await work.execution(execution.step_id, execution.attempt)
            if current is None or current.ended:
                raise SomaError(Reason.FAILED_PRECONDITION, "the attempt was ended meanwhile")
            if await work.call(execution.execution_id) is not None:
                raise SomaError(
                    Reason.CONFLICT, "another try of this attempt has called the provider", retry_after_s=_LOOK_AGAIN_S
                )
            await work.save_call(
                ProviderCall(
                    execution.execution_id,
                    context.job.job_id,
                    context.job.tenant_id,
                    execution.idempotency_key,
                    started_at=now,
                    ends_at=now + timedelta(seconds=timeout_s + _MARGIN_S * bool(timeout_s)),
                )
            )

    async def _cut(self, context: AttemptContext) -> None:
        """Record that the call is over: it was cut off here, so nobody waits for its answer."""
        try:
            async with self._store.work(context.job.tenant_id, context.job.job_id) as work:
                call = await work.call(context.execution.execution_id)
                if call is not None:
                    await work.save_call(replace(call, ends_at=self._clock.now()))
        except SomaError as error:
            _log.warning("a call that was cut off counts as running until its deadline: %s", error.reason.value)

    async def _unmark(self, context: AttemptContext) -> None:
        async with self._store.work(context.job.tenant_id, context.job.job_id) as work:
            await work.remove_call(context.execution.execution_id)

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
        except Exception:  # noqa: BLE001 - an adapter may raise anything; it costs a rung, never the job
            _log.exception("adapter %s broke its contract", execution.chosen.adapter)
            text = f"{execution.chosen.capability_id} failed for a reason of ours"
            outcome = CallOutcome(None, None, 0, Reason.INTERNAL.value, text)
        else:
            outcome = CallOutcome(result, bounded(result.usage))
        return replace(outcome, made=True, latency_ms=round((self._clock.monotonic() - started) * 1_000))

    async def _keep(self, context: AttemptContext, outcome: CallOutcome) -> bool:
        started = self._clock.monotonic()
        for left in reversed(range(_KEEP_TRIES)):
            try:
                await self._results.keep(context.job.tenant_id, context.execution.execution_id, outcome)
            except SomaError as error:
                if not left or not is_transient(error):
                    _log.warning("a result could not be kept: %s", error.message)
                    return False
                await self._clock.sleep(_FIRST_PAUSE_S)
            else:
                if self._clock.monotonic() - started > _MARGIN_S:
                    await self._erase_unmarked(context)
                return True
        return False

    async def _erase_unmarked(self, context: AttemptContext) -> None:
        """Erase what was kept so late that nobody waited for it any more, and its attempt was closed meanwhile."""
        job, execution_id = context.job, context.execution.execution_id
        async with self._store.work(job.tenant_id, job.job_id) as work:
            marked = await work.call(execution_id) is not None
        if not marked:
            await self.erase(job.tenant_id, execution_id)


def _usage_of(error: ProviderError) -> Usage | None:
    """What a failed call used: what the provider says, or nobody knows."""
    if error.usage is not None:
        return bounded(error.usage)
    return None if error.reason is Failure.TIMEOUT else NOTHING_USED


async def _finished(work: Awaitable[T]) -> T:
    """Finish this though the attempt is cancelled meanwhile, and be cancelled then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_MARGIN_S)
        raise
