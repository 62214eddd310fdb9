"""All topics are in one place."""

from __future__ import annotations

import re
from pathlib import Path

from mesh.events.topics import CONTEXTS, TOPICS, facts_of
from mesh.local import contexts

ROOT = Path(__file__).parents[3]
TOPIC = re.compile(r"""\bTOPICS?\b.*?=\s*(.+)|\btopics?=(.+)""")
NAME = re.compile(r'"([a-z]+(?:\.[a-z]+)+)"')


def test_every_context_has_a_topic_for_its_facts() -> None:
    assert sorted(CONTEXTS) == [context.name for context in contexts.installed()]
    assert {facts_of(context) for context in CONTEXTS} < set(TOPICS)


def test_no_topic_is_listed_twice() -> None:
    assert len(TOPICS) == len(set(TOPICS))


def test_services_use_listed_topics_alone() -> None:
    lines = [line for path in ROOT.glob("svc_*/**/*.py") for line in path.read_text().splitlines()]
    used = {name for line in lines if TOPIC.search(line) for name in NAME.findall(line)}
    assert {"executor.events", "selector.events"} <= used <= set(TOPICS)
