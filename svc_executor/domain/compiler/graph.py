"""Order of a dependency graph: layers by Kahn's algorithm, cycles named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def layers(dependencies: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Nodes in layers, each as early as what it depends on allows, in the order of the mapping (Kahn, 1962).

    Nodes on or behind a cycle are left out; `cycles` names them. Every dependency must be a key.
    """
    waits = {node: set(needed) for node, needed in dependencies.items()}
    found: list[tuple[str, ...]] = []
    while ready := tuple(node for node, needed in waits.items() if not needed):
        found.append(ready)
        for node in ready:
            del waits[node]
        for needed in waits.values():
            needed.difference_update(ready)
    return tuple(found)


def cycles(dependencies: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Disjoint cycles, at least one of each connected part, each starting at its earliest node of the mapping."""
    rest = {node: tuple(needed) for node, needed in dependencies.items()}
    found: list[tuple[str, ...]] = []
    while True:
        for layer in layers(rest):
            for node in layer:
                del rest[node]
        if not rest:
            return found
        rest = {node: tuple(name for name in needed if name in rest) for node, needed in rest.items()}
        cycle = _walk(rest)
        found.append(_rotated(cycle, list(rest)))
        rest = {
            node: tuple(name for name in needed if name not in cycle)
            for node, needed in rest.items()
            if node not in cycle
        }


def _walk(remaining: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Follow first dependencies, which every node that is left has, until a node is met again."""
    path: list[str] = [next(iter(remaining))]
    seen = {path[0]: 0}
    while True:
        following = remaining[path[-1]][0]
        if following in seen:
            return tuple(path[seen[following] :])
        seen[following] = len(path)
        path.append(following)


def _rotated(cycle: tuple[str, ...], request: Sequence[str]) -> tuple[str, ...]:
    start = cycle.index(min(cycle, key=request.index))
    return cycle[start:] + cycle[:start]
