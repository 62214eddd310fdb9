"""The rule that keeps providers, their tools and models out of what is neutral."""

from __future__ import annotations

import pytest

from tools.provider_names import named_providers


@pytest.mark.parametrize("text", ["_TOKENS = 6_240  # of gpt-image-1", 'NAME = "openai"', "By Stability AI's list."])
def test_a_provider_in_a_rule_is_named(text: str) -> None:
    assert named_providers("svc_executor/domain/estimates.py", text)
    assert named_providers("svc_selector/domain/pricing.py", text)


@pytest.mark.parametrize("name", ["soma_providers/x/adapter.py", "svc_critic/adapters/metrics.py", "tests/x.py"])
def test_a_provider_may_be_named_elsewhere(name: str) -> None:
    assert named_providers(name, 'NAME = "openai"') == []


def test_a_word_that_holds_a_name_is_none() -> None:
    assert named_providers("svc_executor/domain/x.py", "md2 openair local") == []
