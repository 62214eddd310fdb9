"""Traceability between requirements, design, tests and assets in both directions, with its gaps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_documents.model import CaseSpec, DesignElementSpec, FigureSpec, RequirementSpec

_METHODS_WITHOUT_TEST = ("inspection", "analysis", "demonstration")


@dataclass(frozen=True)
class ForwardTrace:
    """The targets of one requirement; ids in the order of their own lists, `unknown` as written.

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
        """The missing links: a design element, and a test if one verifies the requirement; figures are optional."""
        return ("design element",) * (not self.design) + ("test",) * (self.by_test and not self.tests)


@dataclass(frozen=True)
class BackwardTrace:
    """The requirements of one design element, test or figure; `unknown` are those that do not exist."""

    target: str
    requirements: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class TraceMatrix:
    """The links in both directions."""

    forward: tuple[ForwardTrace, ...]
    design: tuple[BackwardTrace, ...]
    tests: tuple[BackwardTrace, ...]
    assets: tuple[BackwardTrace, ...]

    @property
    def gaps(self) -> tuple[str, ...]:
        """The gaps, each as a short sentence."""
        found = [f"{row.requirement} has no {gap}" for row in self.forward for gap in row.gaps]
        found += [
            f"{row.requirement} traces to {name}, which does not exist" for row in self.forward for name in row.unknown
        ]
        for word, rows in (("design element", self.design), ("test", self.tests)):
            found += [f"{word} {row.target} has no requirement" for row in rows if not row.requirements]
            found += [f"{word} {row.target} names {name}, which does not exist" for row in rows for name in row.unknown]
        return tuple(found)


def build_trace_matrix(
    requirements: Sequence[RequirementSpec],
    design: Sequence[DesignElementSpec],
    tests: Sequence[CaseSpec],
    figures: Sequence[FigureSpec],
) -> TraceMatrix:
    """Builds the matrix of what requirements trace to and tests verify. A figure is named by its id or its input."""
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
    requirement_ids = {requirement.id for requirement in requirements}
    unknown_requirements: dict[str, tuple[str, ...]] = {}
    for test in tests:
        links |= {(name, "test", test.id) for name in test.verifies if name in requirement_ids}
        unknown_requirements[test.id] = tuple(name for name in test.verifies if name not in requirement_ids)
    ids = {
        "design": [element.id for element in design],
        "test": [test.id for test in tests],
        "asset": list(dict.fromkeys(figure.id for figure in figures)),
    }
    return _build_matrix(requirements, ids, links, unknown=unknown, unknown_requirements=unknown_requirements)


def _build_matrix(
    requirements: Sequence[RequirementSpec],
    ids: Mapping[str, Sequence[str]],
    links: set[tuple[str, str, str]],
    *,
    unknown: Mapping[str, Sequence[str]],
    unknown_requirements: Mapping[str, tuple[str, ...]],
) -> TraceMatrix:
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    sources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for requirement, kind, target in links:
        targets[requirement, kind].add(target)
        sources[kind, target].add(requirement)

    def targets_of(requirement: str, kind: str) -> tuple[str, ...]:
        return tuple(name for name in ids[kind] if name in targets[requirement, kind])

    def rows(kind: str) -> tuple[BackwardTrace, ...]:
        return tuple(
            BackwardTrace(
                target,
                tuple(requirement.id for requirement in requirements if requirement.id in sources[kind, target]),
                unknown_requirements.get(target, ()) if kind == "test" else (),
            )
            for target in ids[kind]
        )

    forward = tuple(
        ForwardTrace(
            requirement.id,
            targets_of(requirement.id, "design"),
            targets_of(requirement.id, "test"),
            targets_of(requirement.id, "asset"),
            tuple(unknown.get(requirement.id, ())),
            by_test=_by_test(requirement),
        )
        for requirement in requirements
    )
    return TraceMatrix(forward, rows("design"), rows("test"), rows("asset"))


def _by_test(requirement: RequirementSpec) -> bool:
    method = requirement.verification.casefold()
    return "test" in method or not any(word in method for word in _METHODS_WITHOUT_TEST)
