"""Writes a diagram in PlantUML's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.media.diagram.model import Classes, Diagram, Graph, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_providers.media.diagram.model import Block, ClassBox, Edge, Message, Node

_PLAIN = frozenset(" .,")
_ASCII_END = 128
# PlantUML 1.2026 fails on these two as entities. The other notation must not end a class's name, where it would be
# taken for type parameters, so a zero-width space follows.
_NOT_BY_ENTITY = frozenset("$\\")
_SHAPES = {
    "box": "rectangle", "round": "card", "stadium": "usecase", "database": "database", "hexagon": "node",
    "diamond": "storage", "circle": "usecase", "queue": "queue", "document": "file", "actor": "actor",
    "cloud": "cloud",
}  # fmt: skip
_EDGES = {"solid": "-->", "dashed": "-[dashed]->", "dotted": "-[dotted]->", "thick": "-[thickness=3]->"}
_RELATIONS = {
    "association": "-->", "inheritance": "--|>", "composition": "*--", "dependency": "..>", "aggregation": "o--",
    "realization": "..|>",
}  # fmt: skip
_ARROWS = {"call": "->", "self": "->", "reply": "-->"}


def to_plantuml(diagram: Diagram) -> str:
    """Give the source text; every text of the caller is inert in it."""
    lines = ["@startuml"]
    if diagram.title:
        lines.append(f"title {escape(diagram.title)}")
    if isinstance(diagram, Graph):
        lines += _graph(diagram)
    elif isinstance(diagram, Sequence):
        lines += _sequence(diagram)
    else:
        lines += _classes(diagram)
    return "\n".join([*lines, "@enduml"]) + "\n"


def escape(text: str) -> str:
    """Write all but harmless characters by their number; an empty text becomes a no-break space."""
    return "".join(_character(character) for character in text) or "&#160;"


def _character(character: str) -> str:
    if character == "\n":
        return "\\n"
    if character in _PLAIN or (character.isascii() and character.isalnum()):
        return character
    if ord(character) >= _ASCII_END and character.isalpha():
        return character
    if character in _NOT_BY_ENTITY:
        return f"<U+{ord(character):04X}>&#8203;"
    return f"&#{ord(character)};"


def _graph(graph: Graph) -> Iterator[str]:
    yield "left to right direction" if graph.direction == "LR" else "top to bottom direction"
    yield "hide stereotype"
    for group, label in enumerate(graph.groups):
        yield f'rectangle "{escape(label)}" as g{group} <<group>> {{'
        for index, node in enumerate(graph.nodes):
            if node.group == group:
                yield f"  {_node(index, node)}"
        yield "}"
    for index, node in enumerate(graph.nodes):
        if node.group is None:
            yield _node(index, node)
    for edge in graph.edges:
        yield _edge(edge)


def _node(index: int, node: Node) -> str:
    return f'{_SHAPES[node.shape]} "{escape(node.label)}" as n{index}'


def _edge(edge: Edge) -> str:
    label = f" : {escape(edge.label)}" if edge.label else ""
    return f"{_end(edge.source)} {_EDGES[edge.style]} {_end(edge.target)}{label}"


def _end(end: tuple[str, int]) -> str:
    kind, index = end
    return f"{'g' if kind == 'group' else 'n'}{index}"


def _sequence(sequence: Sequence) -> Iterator[str]:
    yield "hide footbox"
    for index, participant in enumerate(sequence.participants):
        yield f'{participant.kind} "{escape(participant.label)}" as p{index}'
    for block in sequence.blocks():
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if not block.branches[0].condition:
        yield from (_message(message) for message in block.branches[0].messages)
        return
    first = "alt" if len(block.branches) > 1 else "opt"
    for index, branch in enumerate(block.branches):
        yield f"{'else' if index else first} {escape(branch.condition)}"
        yield from (f"  {_message(message)}" for message in branch.messages)
    yield "end"


def _message(message: Message) -> str:
    return f"p{message.source} {_ARROWS[message.kind]} p{message.target} : {escape(message.label)}"


def _classes(diagram: Classes) -> Iterator[str]:
    yield "left to right direction" if diagram.direction == "LR" else "top to bottom direction"
    for index, box in enumerate(diagram.classes):
        yield from _class(index, box)
    for relation in diagram.relations:
        label = f" : {escape(relation.label)}" if relation.label else ""
        yield f"c{relation.source} {_RELATIONS[relation.kind]} c{relation.target}{label}"


def _class(index: int, box: ClassBox) -> Iterator[str]:
    stereotype = f" <<{escape(box.stereotype)}>>" if box.stereotype else ""
    yield f'class "{escape(box.name)}" as c{index}{stereotype} {{'
    for attribute in box.attributes:
        yield f"  {{field}} {_member(attribute)}"
    for method in box.methods:
        result = f" : {escape(method.result)}" if method.result else ""
        arguments = escape(method.arguments) if method.arguments else ""
        yield f"  {{method}} {_member(method.name)}({arguments}){result}"
    yield "}"


def _member(text: str) -> str:
    """Keep a leading visibility sign, which PlantUML draws."""
    return text[0] + escape(text[1:]) if text[:1] in {"+", "-", "#", "~"} and text[1:] else escape(text)
