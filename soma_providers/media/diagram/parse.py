"""Reads `params.diagram`; ids become indexes, so that no text of the caller ever is an identifier of a language."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from soma_providers.media.diagram.model import (
    DIRECTIONS,
    EDGE_STYLES,
    MESSAGE_KINDS,
    PARTICIPANT_KINDS,
    RELATION_KINDS,
    SHAPES,
    ClassBox,
    Classes,
    Diagram,
    Edge,
    Graph,
    Message,
    Method,
    Node,
    Participant,
    Relation,
    Sequence,
)
from soma_providers.media.params import Params, as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue

End = TypeVar("End", int, tuple[str, int])

KINDS = ("architecture", "flow", "sequence", "class")
MAX_BOXES = 120
MAX_LINES = 300
MAX_MEMBERS = 40


def parse(value: JsonValue) -> Diagram:
    """Read a diagram; raise ProviderError(INVALID_INPUT) that points at the field at fault."""
    params = as_object(value, "/diagram")
    kind = params.choice("kind", KINDS)
    if kind == "sequence":
        return _sequence(params)
    if kind == "class":
        return _classes(params)
    return _graph(params, "LR" if kind == "architecture" else "TB")


def _graph(params: Params, direction: str) -> Graph:
    params.reject_unknown("kind", "title", "direction", "nodes", "groups", "edges")
    group_rows = params.objects("groups", limit=MAX_BOXES)
    groups = _ids(group_rows)
    node_rows = params.objects("nodes", limit=MAX_BOXES)
    if not node_rows:
        raise params.error("nodes", "must hold at least one node")
    nodes = _ids(node_rows)
    ends = {id_: ("group", index) for id_, index in groups.items()}
    ends.update({id_: ("node", index) for id_, index in nodes.items()})
    return Graph(
        title=params.label("title", ""),
        direction=params.choice("direction", DIRECTIONS, direction),
        groups=tuple(_group(row) for row in group_rows),
        nodes=tuple(_node(row, groups) for row in node_rows),
        edges=tuple(_edge(row, ends) for row in params.objects("edges", limit=MAX_LINES)),
    )


def _node(row: Params, groups: dict[str, int]) -> Node:
    row.reject_unknown("id", "label", "shape", "group")
    group = _reference(row, "group", groups) if row.text("group", "", max_chars=64) else None
    return Node(_label(row), row.choice("shape", SHAPES, "box"), group)


def _edge(row: Params, ends: dict[str, tuple[str, int]]) -> Edge:
    row.reject_unknown("from", "to", "label", "style")
    source, target = _reference(row, "from", ends), _reference(row, "to", ends)
    return Edge(source, target, row.label("label", ""), row.choice("style", EDGE_STYLES, "solid"))


def _sequence(params: Params) -> Sequence:
    params.reject_unknown("kind", "title", "direction", "participants", "messages")
    entries = params.items("participants", limit=MAX_BOXES)
    rows = [
        Params({"id": entry} if isinstance(entry, str) else as_object(entry, pointer).values, pointer)
        for pointer, entry in ((f"{params.pointer}/participants/{index}", entry) for index, entry in enumerate(entries))
    ]
    if not rows:
        raise params.error("participants", "must hold at least one participant")
    ids = _ids(rows)
    messages = tuple(_message(row, ids) for row in params.objects("messages", limit=MAX_LINES))
    if not messages:
        raise params.error("messages", "must hold at least one message")
    return Sequence(params.label("title", ""), tuple(_participant(row) for row in rows), messages)


def _participant(row: Params) -> Participant:
    row.reject_unknown("id", "label", "kind")
    return Participant(_label(row), row.choice("kind", PARTICIPANT_KINDS, "participant"))


def _message(row: Params, ids: dict[str, int]) -> Message:
    row.reject_unknown("from", "to", "label", "kind", "alt")
    source = _reference(row, "from", ids)
    kind = row.choice("kind", MESSAGE_KINDS, "call")
    target = _reference(row, "to", ids) if kind != "self" or row.has("to") else source
    if kind == "self" and target != source:
        raise row.error("to", "must be the sender when kind is self")
    return Message(source, target, row.label("label"), kind, row.label("alt", ""))


def _classes(params: Params) -> Classes:
    params.reject_unknown("kind", "title", "direction", "classes", "relations")
    rows = params.objects("classes", limit=MAX_BOXES)
    if not rows:
        raise params.error("classes", "must hold at least one class")
    ids = _ids(rows)
    return Classes(
        title=params.label("title", ""),
        direction=params.choice("direction", DIRECTIONS, "TB"),
        classes=tuple(_class(row) for row in rows),
        relations=tuple(_relation(row, ids) for row in params.objects("relations", limit=MAX_LINES)),
    )


def _class(row: Params) -> ClassBox:
    row.reject_unknown("id", "name", "attributes", "methods", "stereotype")
    return ClassBox(
        name=_one_line(_label(row, "name")),
        stereotype=_one_line(row.label("stereotype", "")),
        attributes=tuple(_one_line(text) for text in row.labels("attributes", limit=MAX_MEMBERS)),
        methods=tuple(_method(_one_line(text)) for text in row.labels("methods", limit=MAX_MEMBERS)),
    )


def _method(text: str) -> Method:
    opening, closing = text.find("("), text.rfind(")")
    if opening <= 0 or closing < opening:
        return Method(text, "", "")
    result = text[closing + 1 :].strip().removeprefix(":").strip()
    return Method(text[:opening].strip(), text[opening + 1 : closing].strip(), result)


def _relation(row: Params, ids: dict[str, int]) -> Relation:
    row.reject_unknown("from", "to", "kind", "label")
    kind = row.choice("kind", RELATION_KINDS, "association")
    source, target = _reference(row, "from", ids), _reference(row, "to", ids)
    return Relation(source, target, kind, _one_line(row.label("label", "")))


def _ids(rows: list[Params]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, row in enumerate(rows):
        id_ = row.text("id", max_chars=64)
        if id_ in found:
            raise row.error("id", f"{id_!r} is given twice")
        found[id_] = index
    return found


def _reference(row: Params, name: str, known: Mapping[str, End]) -> End:
    id_ = row.text(name, max_chars=64)
    if id_ not in known:
        raise row.error(name, f"names {id_!r}, which is not in the diagram")
    return known[id_]


def _group(row: Params) -> str:
    row.reject_unknown("id", "label")
    return _label(row)


def _label(row: Params, name: str = "label") -> str:
    return row.label(name, "") or row.label("id", max_chars=64)


def _one_line(text: str) -> str:
    return text.replace("\n", " ")
