"""Describes a diagram in words, for models that paint from a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.media.diagram.model import Diagram, Graph, Sequence

if TYPE_CHECKING:
    from soma_providers.media.diagram.model import Classes

_STYLE = "Clean flat vector diagram on white, thin lines, legible sans-serif labels spelled exactly as given."


def to_words(diagram: Diagram) -> str:
    """Give a prompt that names every part and every line."""
    title = f' titled "{diagram.title}"' if diagram.title else ""
    if isinstance(diagram, Graph):
        return f"{_STYLE} Boxes and arrows{title}. {_graph(diagram)}"
    if isinstance(diagram, Sequence):
        return f"{_STYLE} UML sequence diagram{title}. {_sequence(diagram)}"
    return f"{_STYLE} UML class diagram{title}. {_classes(diagram)}"


def _graph(graph: Graph) -> str:
    way = "left to right" if graph.direction == "LR" else "top to bottom"
    parts = [f"Laid out {way}."]
    for node in graph.nodes:
        inside = f' inside the frame "{graph.groups[node.group]}"' if node.group is not None else ""
        parts.append(f'A {node.shape} "{_flat(node.label)}"{inside}.')
    names = {("node", index): node.label for index, node in enumerate(graph.nodes)}
    names.update({("group", index): label for index, label in enumerate(graph.groups)})
    for edge in graph.edges:
        label = f' labelled "{_flat(edge.label)}"' if edge.label else ""
        parts.append(
            f'A {edge.style} arrow{label} from "{_flat(names[edge.source])}" to "{_flat(names[edge.target])}".'
        )
    return " ".join(parts)


def _sequence(sequence: Sequence) -> str:
    names = [participant.label for participant in sequence.participants]
    parts = ["Lifelines: " + ", ".join(f'"{_flat(name)}"' for name in names) + "."]
    for number, message in enumerate(sequence.messages, 1):
        when = f" if {_flat(message.alt)}" if message.alt else ""
        parts.append(
            f'{number}. "{_flat(names[message.source])}" to "{_flat(names[message.target])}": '
            f'"{_flat(message.label)}"{when}.'
        )
    return " ".join(parts)


def _classes(diagram: Classes) -> str:
    parts = []
    for box in diagram.classes:
        methods = [f"{method.name}({method.arguments})" for method in box.methods]
        members = "; ".join([*box.attributes, *methods]) or "no members"
        parts.append(f'Class "{box.name}" with {members}.')
    for relation in diagram.relations:
        label = f' labelled "{relation.label}"' if relation.label else ""
        source, target = diagram.classes[relation.source].name, diagram.classes[relation.target].name
        parts.append(f'{relation.kind.capitalize()}{label} from "{source}" to "{target}".')
    return " ".join(parts)


def _flat(text: str) -> str:
    return text.replace("\n", " ")
