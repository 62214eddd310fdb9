"""All topics are in one place."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.events.topics import CONTEXTS, TOPICS, facts_of
from mesh.local import contexts

ROOT = Path(__file__).parents[4]
TOPIC = re.compile(r"\bTOPICS?\b.*?=|\btopics?=")
NAME = re.compile(r'"([a-z]+(?:\.[a-z]+)+)"')


def test_every_context_has_a_topic_for_its_facts() -> None:
    assert sorted(CONTEXTS) == [context.name for context in contexts.installed()]
    assert {facts_of(context) for context in CONTEXTS} < set(TOPICS)


def test_no_topic_is_listed_twice() -> None:
    assert len(TOPICS) == len(set(TOPICS))


def test_services_name_no_topic_by_themselves() -> None:
    read = [*ROOT.glob("svc_*/**/*.py")]
    assert {path.relative_to(ROOT).parts[0].removeprefix("svc_") for path in read} == set(CONTEXTS)
    assert [path for path in read if topics_named(path.read_text())] == []


def test_a_topic_in_a_service_is_found() -> None:
    """The planted bug."""
    assert topics_named('TOPIC = "executor.events"') == {"executor.events"}
    assert topics_named('Consumer(bus, topics=("audit.events", AUDIT))') == {"audit.events"}


def topics_named(text: str) -> set[str]:
    return {name for line in text.splitlines() if TOPIC.search(line) for name in NAME.findall(line)}
