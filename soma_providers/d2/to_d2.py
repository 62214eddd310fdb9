"""Writes a diagram in D2's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.media.diagram.model import Classes, Diagram, Graph, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_providers.media.diagram.model import Block, ClassBox, Edge, Message, Node

_SHAPES = {
    "box": "rectangle", "round": "rectangle", "stadium": "oval", "database": "cylinder", "hexagon": "hexagon",
    "diamond": "diamond", "circle": "circle", "queue": "queue", "document": "page", "actor": "person",
    "cloud": "cloud",
}  # fmt: skip
_EDGES = {
    "solid": "", "dashed": " {style.stroke-dash: 5}", "dotted": " {style.stroke-dash: 2}",
    "thick": " {style.stroke-width: 4}",
}  # fmt: skip
_RELATIONS = {
    "association": "", "inheritance": " {target-arrowhead: {shape: triangle; style.filled: false}}",
    "composition": " {source-arrowhead: {shape: diamond; style.filled: true}; target-arrowhead: {shape: none}}",
    "dependency": " {style.stroke-dash: 5}",
    "aggregation": " {source-arrowhead: {shape: diamond; style.filled: false}; target-arrowhead: {shape: none}}",
    "realization": " {style.stroke-dash: 5; target-arrowhead: {shape: triangle; style.filled: false}}",
}  # fmt: skip
_PARTICIPANTS = {"participant": "rectangle", "actor": "person", "database": "cylinder"}


def to_d2(diagram: Diagram) -> str:
    """Give the source text; every text of the caller is a quoted string in it."""
    lines: list[str] = []
    if diagram.title:
        lines.append(f"title: {quote(diagram.title)} {{shape: text; near: top-center; style.font-size: 24}}")
    if isinstance(diagram, Graph):
        lines += _graph(diagram)
    elif isinstance(diagram, Sequence):
        lines += _sequence(diagram)
    else:
        lines += _classes(diagram)
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """Give a double-quoted string; `$` is escaped because it would start a substitution."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
    return f'"{escaped}"'


def _direction(direction: str) -> str:
    return f"direction: {'right' if direction == 'LR' else 'down'}"


def _graph(graph: Graph) -> Iterator[str]:
    yield _direction(graph.direction)
    for group, label in enumerate(graph.groups):
        yield f"g{group}: {quote(label)} {{"
        for index, node in enumerate(graph.nodes):
            if node.group == group:
                yield f"  {_node(index, node)}"
        yield "}"
    for index, node in enumerate(graph.nodes):
        if node.group is None:
            yield _node(index, node)
    for edge in graph.edges:
        yield _edge(edge, graph)


def _node(index: int, node: Node) -> str:
    rounded = "; style.border-radius: 10" if node.shape == "round" else ""
    return f"n{index}: {quote(node.label)} {{shape: {_SHAPES[node.shape]}{rounded}}}"


def _edge(edge: Edge, graph: Graph) -> str:
    label = f": {quote(edge.label)}" if edge.label else (": " if _EDGES[edge.style] else "")
    return f"{_end(edge.source, graph)} -> {_end(edge.target, graph)}{label}{_EDGES[edge.style]}"


def _end(end: tuple[str, int], graph: Graph) -> str:
    kind, index = end
    if kind == "group":
        return f"g{index}"
    group = graph.nodes[index].group
    return f"n{index}" if group is None else f"g{group}.n{index}"


def _sequence(sequence: Sequence) -> Iterator[str]:
    yield 'sequence: "" {'
    yield "  shape: sequence_diagram"
    for index, participant in enumerate(sequence.participants):
        yield f"  p{index}: {quote(participant.label)} {{shape: {_PARTICIPANTS[participant.kind]}}}"
    for index, block in enumerate(sequence.blocks()):
        yield from _block(index, block)
    yield "}"


def _block(index: int, block: Block) -> Iterator[str]:
    for number, branch in enumerate(block.branches):
        if branch.condition:
            yield f"  b{index}x{number}: {quote(branch.condition)} {{"
        yield from (f"  {_message(message)}" for message in branch.messages)
        if branch.condition:
            yield "  }"


def _message(message: Message) -> str:
    dashed = " {style.stroke-dash: 5}" if message.kind == "reply" else ""
    return f"  p{message.source} -> p{message.target}: {quote(message.label)}{dashed}"


def _classes(diagram: Classes) -> Iterator[str]:
    yield _direction(diagram.direction)
    for index, box in enumerate(diagram.classes):
        yield from _class(index, box)
    for relation in diagram.relations:
        label = f": {quote(relation.label)}" if relation.label else (": " if _RELATIONS[relation.kind] else "")
        arrow = "<->" if relation.kind in {"composition", "aggregation"} else "->"
        yield f"c{relation.source} {arrow} c{relation.target}{label}{_RELATIONS[relation.kind]}"


def _class(index: int, box: ClassBox) -> Iterator[str]:
    name = f"«{box.stereotype}» {box.name}" if box.stereotype else box.name
    yield f"c{index}: {quote(name)} {{"
    yield "  shape: class"
    for attribute in box.attributes:
        name, _, type_ = attribute.partition(":")
        yield f"  {quote(name.strip())}: {quote(type_.strip())}"
    for method in box.methods:
        yield f"  {quote(f'{method.name}({method.arguments})')}: {quote(method.result or 'void')}"
    yield "}"
