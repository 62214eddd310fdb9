"""A diagram, without the language of any engine."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = (
    "box", "round", "stadium", "database", "hexagon", "diamond", "circle", "queue", "document", "actor", "cloud",
)  # fmt: skip
EDGE_STYLES = ("solid", "dashed", "dotted", "thick")
DIRECTIONS = ("LR", "TB")
PARTICIPANT_KINDS = ("participant", "actor", "database")
MESSAGE_KINDS = ("call", "reply", "self")
RELATION_KINDS = ("association", "inheritance", "composition", "dependency", "aggregation", "realization")


@dataclass(frozen=True)
class Node:
    """A box of a graph; `group` is the index of its group, None outside of all."""

    label: str
    shape: str
    group: int | None


@dataclass(frozen=True)
class Edge:
    """An arrow between two ends, each ("node" | "group", index)."""

    source: tuple[str, int]
    target: tuple[str, int]
    label: str
    style: str


@dataclass(frozen=True)
class Graph:
    """Boxes and arrows: kinds "architecture" and "flow"."""

    title: str
    direction: str
    groups: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True)
class Participant:
    """Who sends and receives."""

    label: str
    kind: str


@dataclass(frozen=True)
class Message:
    """One arrow of a sequence, between participants by index; `alt` is the condition it is sent under."""

    source: int
    target: int
    label: str
    kind: str
    alt: str


@dataclass(frozen=True)
class Branch:
    """Messages sent under one condition."""

    condition: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Block:
    """Messages in order; with conditions, each branch is an alternative of the others."""

    branches: tuple[Branch, ...]


@dataclass(frozen=True)
class Sequence:
    """Messages over time."""

    title: str
    participants: tuple[Participant, ...]
    messages: tuple[Message, ...]

    def blocks(self) -> tuple[Block, ...]:
        """Give neighbours with a condition as one block of alternatives, all others as blocks without condition."""
        found: list[list[Branch]] = []
        for message in self.messages:
            last = found[-1] if found else None
            joins = last is not None and bool(last[-1].condition) == bool(message.alt)
            if last is None or not joins:
                found.append([Branch(message.alt, (message,))])
            elif last[-1].condition == message.alt:
                last[-1] = Branch(message.alt, (*last[-1].messages, message))
            else:
                last.append(Branch(message.alt, (message,)))
        return tuple(Block(tuple(branches)) for branches in found)


@dataclass(frozen=True)
class Method:
    """A method: `name(arguments): result`; the name carries its visibility sign."""

    name: str
    arguments: str
    result: str


@dataclass(frozen=True)
class ClassBox:
    """A class with its members."""

    name: str
    stereotype: str
    attributes: tuple[str, ...]
    methods: tuple[Method, ...]


@dataclass(frozen=True)
class Relation:
    """A line between classes by index; from child to parent, from whole to part."""

    source: int
    target: int
    kind: str
    label: str


@dataclass(frozen=True)
class Classes:
    """Classes and how they relate."""

    title: str
    direction: str
    classes: tuple[ClassBox, ...]
    relations: tuple[Relation, ...]


Diagram = Graph | Sequence | Classes
