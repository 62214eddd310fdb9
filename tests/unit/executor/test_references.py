"""References are found where one expression over the whole text finds them, and plain text costs nothing."""

from __future__ import annotations

import re
from re import _constants, _parser  # type: ignore[attr-defined]  # what an expression begins with
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from svc_executor.domain import inputs
from svc_executor.domain.inputs import InputsTooLargeError, resolved_params
from svc_executor.domain.job import Step
from svc_executor.domain.references import _ANY_REFERENCE, references, resolve
from svc_executor.domain.task_dsl import StepType, Task

if TYPE_CHECKING:
    from collections.abc import Callable

WRITTEN = re.compile(r"\$?\$\{[^{}]*\}?")
STEP_TEXT = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_-]{0,62})\.text\}")
PARTS = ("$", "{", "}", "${", "$${", "${a.text}", "$${a.text}", "${a.asset}", "$${}", "a", ".", "text", "é", "\n")
texts = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


def expected(text: str, text_of: Callable[[str], str]) -> str:
    """The text with references replaced; those to assets are left as they are."""

    def replacement(match: re.Match[str]) -> str:
        written = match.group()
        if written.startswith("$${"):
            return written[1:]
        found = STEP_TEXT.fullmatch(written)
        if found:
            return text_of(found.group(1))
        return "a" if written == "${a.asset}" else ""

    return WRITTEN.sub(replacement, text)


@settings(max_examples=2_000, deadline=None)
@given(texts)
@example("$$${a.text}")
@example("${a$${a.text}")
@example("$${a$${a.text}")
@example("${a.text}$${a.text}")
def test_references_and_escapes_are_found_as_by_one_expression(text: str) -> None:
    written = [match.group() for match in WRITTEN.finditer(text)]
    assert [found.text for found in references(text)] == [each for each in written if not each.startswith("$${")]
    assert resolve(text, str.upper) == expected(text, str.upper)


def test_the_expression_begins_with_letters_that_stand_for_themselves() -> None:
    """Else it is tried at every place of a text, which takes thirty times as long."""
    beginning = list(_parser.parse(_ANY_REFERENCE.pattern))[:2]
    assert [kind for kind, _ in beginning] == [_constants.LITERAL, _constants.LITERAL]


def test_a_text_without_a_reference_is_given_back_as_it_is() -> None:
    text = "costs $5 {each}" * 100
    assert resolve(text, str) is text


def test_texts_of_steps_count_each_time_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_INSERTED_CHARS", 10)
    steps = {"a": Step("job", Task("a", 0, StepType.GENERATE_TEXT, "text", "text_chat"), text="12345")}

    def params(prompt: str) -> object:
        task = Task("b", 1, StepType.GENERATE_TEXT, "text", "text_chat", ("a",), {"prompt": prompt})
        return resolved_params(task, steps)["prompt"]

    assert params("${a.text}, ${a.text}") == "12345, 12345"
    with pytest.raises(InputsTooLargeError, match="more than 10 characters"):
        params("${a.text}, ${a.text}, ${a.text}")
