"""Traceability: requirement ↔ design ↔ test ↔ asset, read both ways, with what is missing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_documents.model import CaseSpec, DesignElementSpec, FigureSpec, RequirementSpec

_WITHOUT_TEST = ("inspection", "analysis", "demonstration")


@dataclass(frozen=True)
class ForwardTrace:
    """What one requirement leads to; ids in the order of their own lists, `unknown` as written.

    `by_test` is false when it is verified by inspection, analysis or demonstration alone.
    """

    requirement: str
    design: tuple[str, ...]
    tests: tuple[str, ...]
    assets: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    by_test: bool = True

    @property
    def gaps(self) -> tuple[str, ...]:
        """What it lacks: a design element always, a test if it is verified by one; a figure is welcome."""
        return ("design element",) * (not self.design) + ("test",) * (self.by_test and not self.tests)


@dataclass(frozen=True)
class BackwardTrace:
    """What leads to one design element, test or figure; `unknown` are requirements that do not exist."""

    target: str
    requirements: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class TraceMatrix:
    """Both directions; every link of one is in the other."""

    forward: tuple[ForwardTrace, ...]
    design: tuple[BackwardTrace, ...]
    tests: tuple[BackwardTrace, ...]
    assets: tuple[BackwardTrace, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        """Each gap as a short sentence."""
        found = [f"{row.requirement} has no {gap}" for row in self.forward for gap in row.gaps]
        found += [
            f"{row.requirement} traces to {name}, which does not exist" for row in self.forward for name in row.unknown
        ]
        for word, rows in (("design element", self.design), ("test", self.tests)):
            found += [f"{word} {row.target} has no requirement" for row in rows if not row.requirements]
            found += [f"{word} {row.target} names {name}, which does not exist" for row in rows for name in row.unknown]
        return tuple(found)


def trace(
    requirements: Sequence[RequirementSpec],
    design: Sequence[DesignElementSpec],
    tests: Sequence[CaseSpec],
    figures: Sequence[FigureSpec],
) -> TraceMatrix:
    """Join what requirements trace to with what tests verify. A figure is named by its id or by its input."""
    names = {figure.asset: ("asset", figure.id) for figure in figures}
    names |= {figure.id: ("asset", figure.id) for figure in figures}
    names |= {test.id: ("test", test.id) for test in tests}
    names |= {element.id: ("design", element.id) for element in design}
    links: set[tuple[str, str, str]] = set()
    unknown: dict[str, list[str]] = {}
    for requirement in requirements:
        for name in requirement.traces_to:
            if name in names:
                links.add((requirement.id, *names[name]))
            else:
                unknown.setdefault(requirement.id, []).append(name)
    known = {requirement.id for requirement in requirements}
    stray: dict[str, tuple[str, ...]] = {}
    for test in tests:
        links |= {(name, "test", test.id) for name in test.verifies if name in known}
        stray[test.id] = tuple(name for name in test.verifies if name not in known)
    ids = {
        "design": [element.id for element in design],
        "test": [test.id for test in tests],
        "asset": list(dict.fromkeys(figure.id for figure in figures)),
    }
    return _matrix(requirements, ids, links, unknown=unknown, stray=stray)


def _matrix(
    requirements: Sequence[RequirementSpec],
    ids: Mapping[str, Sequence[str]],
    links: set[tuple[str, str, str]],
    *,
    unknown: Mapping[str, Sequence[str]],
    stray: Mapping[str, tuple[str, ...]],
) -> TraceMatrix:
    ahead: dict[tuple[str, str], set[str]] = defaultdict(set)
    back: dict[tuple[str, str], set[str]] = defaultdict(set)
    for requirement, kind, target in links:
        ahead[requirement, kind].add(target)
        back[kind, target].add(requirement)

    def onward(requirement: str, kind: str) -> tuple[str, ...]:
        return tuple(name for name in ids[kind] if name in ahead[requirement, kind])

    def rows(kind: str) -> tuple[BackwardTrace, ...]:
        return tuple(
            BackwardTrace(
                target,
                tuple(each.id for each in requirements if each.id in back[kind, target]),
                stray.get(target, ()) if kind == "test" else (),
            )
            for target in ids[kind]
        )

    forward = tuple(
        ForwardTrace(
            each.id,
            onward(each.id, "design"),
            onward(each.id, "test"),
            onward(each.id, "asset"),
            tuple(unknown.get(each.id, ())),
            by_test=_by_test(each),
        )
        for each in requirements
    )
    return TraceMatrix(forward, rows("design"), rows("test"), rows("asset"))


def _by_test(requirement: RequirementSpec) -> bool:
    method = requirement.verification.casefold()
    return "test" in method or not any(word in method for word in _WITHOUT_TEST)
