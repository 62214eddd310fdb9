"""Topics are those of the platform and those that the contexts declare; no service names one by itself."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.contexts import ContextDeclaration, installed
from mesh.events.topics import PLATFORM_TOPICS, facts_of, topics

ROOT = Path(__file__).parents[4]
TOPIC = re.compile(r"\bTOPICS?\b.*?=|\btopics?=|\bpublishes=|\bconsumes=")
NAME = re.compile(r'"([a-z]+(?:\.[a-z]+)+)"')


def declared(name: str, publishes: tuple[str, ...] = (), consumes: tuple[str, ...] = ()) -> ContextDeclaration:
    return ContextDeclaration(
        name=name, version="1.0.0", package=name, protos=(), publishes=publishes, consumes=consumes
    )


def test_the_topics_of_a_mesh_are_those_of_the_platform_and_of_its_contexts() -> None:
    ant, bee = (
        declared("ant", ("ant.events", "ant.more")),
        declared("bee", ("bee.events",), ("ant.events", "cow.events")),
    )
    assert topics([ant, bee]) == (*PLATFORM_TOPICS, "ant.events", "ant.more", "bee.events", "cow.events")


def test_what_a_context_consumes_is_published_by_another_or_by_the_platform() -> None:
    contexts = installed()
    published = {*PLATFORM_TOPICS, *(topic for context in contexts for topic in context.publishes)}
    consumed = {topic for context in contexts for topic in context.consumes}
    assert len(consumed) > 3
    assert consumed <= published


def test_no_topic_is_listed_twice() -> None:
    found = topics(installed())
    assert len(found) == len(set(found))


def test_facts_have_the_name_of_their_context() -> None:
    publishing = [context for context in installed() if context.publishes]
    assert len(publishing) > 3
    assert [context.publishes for context in publishing] == [(facts_of(context.name),) for context in publishing]


def test_services_name_no_topic_by_themselves() -> None:
    read = [*ROOT.glob("svc_*/**/*.py")]
    assert {path.relative_to(ROOT).parts[0] for path in read} == {context.package for context in installed()}
    assert [path for path in read if topics_named(path.read_text())] == []


def test_a_topic_in_a_service_is_found() -> None:
    """The planted bug."""
    assert topics_named('TOPIC = "executor.events"') == {"executor.events"}
    assert topics_named('Consumer(bus, topics=("audit.events", AUDIT))') == {"audit.events"}
    assert topics_named('    publishes=("executor.events",),') == {"executor.events"}


def topics_named(text: str) -> set[str]:
    return {name for line in text.splitlines() if TOPIC.search(line) for name in NAME.findall(line)}
