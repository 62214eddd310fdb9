"""What each context says of its audit, in `tests/integration/<name>/audited.py`, and the tables of all together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mesh.contexts import ContextDeclaration, installed
from mesh.events.audit import Auditor
from tests.integration.contexts.audit.observer import AuditObserver

PACKAGE = "tests.integration.{}.audited"
Drive = Callable[[AuditObserver, Auditor, Path], Awaitable[None]]


@dataclass(frozen=True)
class Entry:
    """What the record is told: the action, and the kind of thing that it was done to."""

    action: str
    resource_type: str
    when: str = ""

    def __str__(self) -> str:
        return f"`{self.action}` of `{self.resource_type}`"


@dataclass(frozen=True)
class ContextAudit:
    """The audit of one context. Methods are named `RubricService.CreateRubric`, without the protobuf package."""

    drive: Drive
    """Calls every method that is audited, against the real use cases and stores."""
    audited: Mapping[str, Entry] = field(default_factory=dict)
    """Methods that change something, and their entry."""
    reads: Mapping[str, Entry] = field(default_factory=dict)
    """What changes nothing and is audited nevertheless, in batches."""
    unprompted: Mapping[str, Entry] = field(default_factory=dict)
    """What happens without a method of its own."""
    not_audited: Mapping[str, str] = field(default_factory=dict)
    """Methods that change something and leave no entry, and why."""
    driven_elsewhere: tuple[str, ...] = ()
    """Audited methods that other tests call."""

    def expected(self) -> dict[str, Entry]:
        """What `drive` must leave, by operation."""
        found = {**self.audited, **self.reads, **self.unprompted}
        return {operation: entry for operation, entry in found.items() if operation not in self.driven_elsewhere}


def audits(contexts: Iterable[ContextDeclaration] | None = None) -> dict[str, ContextAudit]:
    """The audit of each context that says one, by its name."""
    found = {}
    for context in installed() if contexts is None else contexts:
        module = PACKAGE.format(context.name)
        if find_spec(module.rpartition(".")[0]) is not None and find_spec(module) is not None:
            found[context.name] = import_module(module).AUDIT
    return found


def without_a_row(methods: Iterable[tuple[str, str]], known: Mapping[str, ContextAudit]) -> Iterator[str]:
    """Of methods that change something, given as context and `Service.Method`, those that no context's audit names."""
    for context, method in sorted(methods):
        audit = known.get(context)
        if audit is None or method not in {**audit.audited, **audit.not_audited}:
            yield f"{context}.{method}: name it in tests/integration/{context}/audited.py"
