"""The neutral diagram: what is refused, and that no text of the caller becomes syntax of an engine."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_providers.d2.to_d2 import to_d2
from soma_providers.media.diagram.model import Classes, Graph, Sequence
from soma_providers.media.diagram.parse import parse
from soma_providers.media.diagram.to_words import to_words
from soma_providers.mermaid.to_mermaid import escape as mermaid_escape
from soma_providers.mermaid.to_mermaid import to_mermaid
from soma_providers.plantuml.to_plantuml import escape as plantuml_escape
from soma_providers.plantuml.to_plantuml import to_plantuml
from soma_providers.port import Failure, ProviderError
from tests.conformance.diagrams import ALL, ARCHITECTURE, CLASSES, SEQUENCE

texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=40).filter(
    lambda text: bool(text.strip())
)
hostile = st.one_of(
    texts,
    st.sampled_from(
        ['"] --> x["', "end", "@enduml", "%%{init: {}}%%", "}\nx -> y", "${x}", "#quot;", "&#34;", "<U+0041>", "';--",
         "`code`", "style a fill:#f00;", ":::x", "|md # x |", "\\", '\\"', "!include /etc/passwd", "~~", "**b**"]
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"kind": "mindmap"}, "/diagram/kind"),
        ({"nodes": []}, "/diagram/nodes"),
        ({"nodes": [{"id": "a"}, {"id": "a"}]}, "/diagram/nodes/1/id"),
        ({"nodes": [{"id": "a", "shape": "star"}], "edges": []}, "/diagram/nodes/0/shape"),
        ({"edges": [{"from": "browser", "to": "nobody"}]}, "/diagram/edges/0/to"),
        ({"edges": [{"from": "browser", "to": "db", "lable": "x"}]}, "/diagram/edges/0/lable"),
        ({"title": "a\x07b"}, "/diagram/title"),
        ({"direction": 7}, "/diagram/direction"),
    ],
)
def test_a_fault_is_named_by_its_pointer(change: dict[str, object], pointer: str) -> None:
    with pytest.raises(ProviderError) as caught:
        parse({**ARCHITECTURE, **change})  # type: ignore[dict-item]
    assert caught.value.reason is Failure.INVALID_INPUT
    assert caught.value.pointer == pointer


def test_neighbouring_conditions_become_alternatives_of_one_block() -> None:
    diagram = parse(SEQUENCE)
    assert isinstance(diagram, Sequence)
    blocks = diagram.blocks()
    assert [len(block.branches) for block in blocks] == [1, 2]
    assert [branch.condition for branch in blocks[1].branches] == ["password matches", "else"]


def test_a_method_is_split_at_its_outer_brackets() -> None:
    diagram = parse({"kind": "class", "classes": [{"id": "a", "methods": ["+f(g: Callable[(int)]): None", "run"]}]})
    assert isinstance(diagram, Classes)
    first, second = diagram.classes[0].methods
    assert (first.name, first.arguments, first.result) == ("+f", "g: Callable[(int)]", "None")
    assert (second.name, second.arguments) == ("run", "")


def test_a_node_without_label_shows_its_id() -> None:
    diagram = parse({"kind": "flow", "nodes": [{"id": "start"}]})
    assert isinstance(diagram, Graph)
    assert diagram.nodes[0].label == "start"


@given(label=hostile, edge=hostile, title=hostile)
def test_labels_never_change_the_shape_of_a_source(label: str, edge: str, title: str) -> None:
    def graph(one: str, two: str, three: str) -> Graph:
        diagram = parse(
            {
                "kind": "flow",
                "title": three,
                "groups": [{"id": "g", "label": one}],
                "nodes": [{"id": "a", "label": one, "group": "g"}, {"id": "b", "label": two}],
                "edges": [{"from": "a", "to": "b", "label": two}],
            }
        )
        assert isinstance(diagram, Graph)
        return diagram

    plain, wild = graph("x", "x", "x"), graph(label, edge, title)
    for write, inert in ((to_mermaid, _mermaid), (to_plantuml, _plantuml), (to_d2, _d2)):
        assert inert(write(wild)) == inert(write(plain))


@given(label=hostile, condition=hostile)
def test_messages_never_change_the_shape_of_a_source(label: str, condition: str) -> None:
    def sequence(one: str, two: str) -> Sequence:
        messages = [{"from": "a", "to": "b", "label": one, "alt": two}]
        diagram = parse({"kind": "sequence", "participants": [{"id": "a", "label": one}, "b"], "messages": messages})
        assert isinstance(diagram, Sequence)
        return diagram

    for write in (to_mermaid, to_plantuml, to_d2):
        plain, wild = write(sequence("x", "x")), write(sequence(label, condition))
        assert plain.count("\n") == wild.count("\n")


@given(text=hostile)
def test_mermaid_entities_stand_for_the_text(text: str) -> None:
    written = mermaid_escape(text.replace("\n", " "))
    assert re.sub(r"#(\d+);", lambda found: chr(int(found.group(1))), written) == text.replace("\n", " ")
    assert not set(written) & set('"<>{}[]|%`\\$&')


@given(text=hostile)
def test_plantuml_entities_stand_for_the_text(text: str) -> None:
    written = plantuml_escape(text.replace("\n", " ")).replace("&#8203;", "")
    written = re.sub(r"<U\+([0-9A-F]+)>", lambda found: chr(int(found.group(1), 16)), written)
    assert re.sub(r"&#(\d+);", lambda found: chr(int(found.group(1))), written) == text.replace("\n", " ")


@pytest.mark.parametrize("kind", sorted(ALL))
def test_a_description_names_every_label(kind: str) -> None:
    words = to_words(parse(ALL[kind]))
    for name in {"architecture": ["Envoy edge & auth", "HTTPS"], "sequence": ["web", "row"], "class": ["Admin"]}[kind]:
        assert name in words


def test_classes_of_all_kinds_of_relations_are_written() -> None:
    kinds = ["association", "inheritance", "composition", "dependency", "aggregation", "realization"]
    relations = [{"from": "u", "to": "s", "kind": kind} for kind in kinds]
    source = to_plantuml(parse({**CLASSES, "relations": relations}))
    assert [arrow in source for arrow in ("-->", "--|>", "*--", "..>", "o--", "..|>")] == [True] * 6


def _mermaid(source: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', source)


def _plantuml(source: str) -> str:
    source = re.sub(r'"[^"]*"', '""', source)
    return re.sub(r"(?m)(^title | : ).*$", r"\1", source)


def _d2(source: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"', '""', source)
