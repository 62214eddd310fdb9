"""Writes a diagram in Mermaid's language."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from soma_providers.media.diagram.model import Classes, Diagram, Graph, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_providers.media.diagram.model import Block, ClassBox, Edge, Message, Node

_PLAIN = frozenset(" .,-+/=?!'()_")
# Mermaid marks its own entities with these characters while it parses.
_RESERVED = frozenset("ﬂ°¶ß\u00a0\u2028\u2029\u0085")
_ASCII_END = 128

_SHAPES = {
    "box": '["{}"]', "round": '("{}")', "stadium": '(["{}"])', "database": '[("{}")]', "hexagon": '{{{{"{}"}}}}',
    "diamond": '{{"{}"}}', "circle": '(("{}"))', "queue": '@{{ shape: h-cyl, label: "{}" }}',
    "document": '@{{ shape: doc, label: "{}" }}', "actor": '(["{}"])', "cloud": '(["{}"])',
}  # fmt: skip
_EDGES = {"solid": "-->", "dashed": "-.->", "dotted": "-.->", "thick": "==>"}
_RELATIONS = {
    "association": "-->", "inheritance": "--|>", "composition": "*--", "dependency": "..>", "aggregation": "o--",
    "realization": "..|>",
}  # fmt: skip
_ARROWS = {"call": "->>", "self": "->>", "reply": "-->>"}


def to_mermaid(diagram: Diagram) -> str:
    """Give the source text; every text of the caller is inert in it."""
    lines = [f"---\ntitle: {json.dumps(_flat(diagram.title))}\n---"] if diagram.title else []
    if isinstance(diagram, Graph):
        lines += _graph(diagram)
    elif isinstance(diagram, Sequence):
        lines += _sequence(diagram)
    else:
        lines += _classes(diagram)
    return "\n".join(lines) + "\n"


def escape(text: str, line_break: str = "<br/>") -> str:
    """Write all but harmless characters as decimal entities; an empty text becomes a no-break space."""
    escaped = "".join(_character(character, line_break) for character in text)
    return escaped or "#160;"


def _character(character: str, line_break: str) -> str:
    if character == "\n":
        return line_break
    plain = character in _PLAIN or (character.isascii() and character.isalnum())
    if plain or (ord(character) >= _ASCII_END and character not in _RESERVED):
        return character
    return f"#{ord(character)};"


def _graph(graph: Graph) -> Iterator[str]:
    yield f"flowchart {graph.direction}"
    for group, label in enumerate(graph.groups):
        yield f'  subgraph g{group}["{escape(label)}"]'
        for index, node in enumerate(graph.nodes):
            if node.group == group:
                yield f"    {_node(index, node)}"
        yield "  end"
    for index, node in enumerate(graph.nodes):
        if node.group is None:
            yield f"  {_node(index, node)}"
    for edge in graph.edges:
        yield f"  {_edge(edge)}"


def _node(index: int, node: Node) -> str:
    return f"n{index}" + _SHAPES[node.shape].format(escape(node.label))


def _edge(edge: Edge) -> str:
    label = f'|"{escape(edge.label)}"|' if edge.label else ""
    return f"{_end(edge.source)} {_EDGES[edge.style]}{label} {_end(edge.target)}"


def _end(end: tuple[str, int]) -> str:
    kind, index = end
    return f"{'g' if kind == 'group' else 'n'}{index}"


def _sequence(sequence: Sequence) -> Iterator[str]:
    yield "sequenceDiagram"
    for index, participant in enumerate(sequence.participants):
        word = "actor" if participant.kind == "actor" else "participant"
        kind = '@{ "type": "database" }' if participant.kind == "database" else ""
        yield f"  {word} p{index}{kind} as {escape(participant.label)}"
    for block in sequence.blocks():
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if not block.branches[0].condition:
        yield from (_message(message) for message in block.branches[0].messages)
        return
    first = "alt" if len(block.branches) > 1 else "opt"
    for index, branch in enumerate(block.branches):
        yield f"  {'else' if index else first} {escape(branch.condition, ' ')}"
        yield from (f"  {_message(message)}" for message in branch.messages)
    yield "  end"


def _message(message: Message) -> str:
    return f"  p{message.source}{_ARROWS[message.kind]}p{message.target}: {escape(message.label)}"


def _classes(diagram: Classes) -> Iterator[str]:
    yield "classDiagram"
    yield f"  direction {diagram.direction}"
    for index, box in enumerate(diagram.classes):
        yield from _class(index, box)
    for relation in diagram.relations:
        label = f" : {escape(relation.label)}" if relation.label else ""
        yield f"  c{relation.source} {_RELATIONS[relation.kind]} c{relation.target}{label}"


def _class(index: int, box: ClassBox) -> Iterator[str]:
    yield f'  class c{index}["{escape(box.name)}"]'
    if box.stereotype:
        yield f"  <<{_member(box.stereotype)}>> c{index}"
    for attribute in box.attributes:
        yield f"  c{index} : {_member(attribute)}"
    for method in box.methods:
        result = f" {_member(method.result)}" if method.result else ""
        yield f"  c{index} : {_member(method.name)}({_member(method.arguments, '')}){result}"


def _member(text: str, empty: str = "#160;") -> str:
    """Escape brackets too: Mermaid tells methods from attributes by them."""
    return escape(text).replace("(", "#40;").replace(")", "#41;") if text else empty


def _flat(text: str) -> str:
    return text.replace("\n", " ")
