"""Runs blocking engines in a thread of their own, one call at a time, within a deadline."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from svc_executor.domain.provider import Failure, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """One thread. A call that misses its deadline is reported at once, and its result thrown away when it comes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, timeout_s: float, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the thread; raise ProviderError(TIMEOUT) after `timeout_s` seconds, waiting included."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise ProviderError(Failure.TIMEOUT, f"{self._name} did not finish within {timeout_s:.0f} s") from None

    def close(self) -> None:
        """Take no more work; what runs goes on to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
