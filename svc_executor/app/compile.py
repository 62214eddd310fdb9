"""Compiling plans without keeping anybody waiting."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from mesh.thread_slots import ThreadSlots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue
    from svc_executor.domain.compiler import Compiler
    from svc_executor.domain.task_dsl import Plan

_CONCURRENCY = 1
"""Large plans that are compiled at the same time: two would share one processor."""
_MAX_SMALL_VALUES = 1_000
_MAX_SMALL_CHARS = 100_000


class CompilePlan:
    """Compiles plans in threads: a plan of as many values as a request may have takes a second of processor time.

    Large ones of all tenants come in turn, so that they neither take all threads nor wait for those of one tenant.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._threads = ThreadSlots("compiling plans", _CONCURRENCY)

    async def __call__(self, tenant_id: str, document: Mapping[str, JsonValue]) -> Plan:
        """The plan; raises PlanRefusedError with every error, OVERLOADED when too many large plans wait."""
        if not is_large(document):
            return await asyncio.to_thread(self._compiler.compile, document)
        return await self._threads.run(tenant_id, partial(self._compiler.compile, document))


def is_large(document: Mapping[str, JsonValue]) -> bool:
    """Whether a document has more than 1,000 values or 100,000 characters of text; looks no further than needed."""
    values = chars = 0
    waiting: list[JsonValue] = [dict(document)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            chars += len(value)
        elif isinstance(value, (list, tuple, dict)):
            values += len(value)
            if values <= _MAX_SMALL_VALUES:
                waiting.extend(value.values() if isinstance(value, dict) else value)
        if values > _MAX_SMALL_VALUES or chars > _MAX_SMALL_CHARS:
            return True
    return False
