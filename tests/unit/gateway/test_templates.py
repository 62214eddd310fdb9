"""Path templates: what they match, and in which order they are tried."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_gateway.domain.routes import Binding, Method, RouteTable
from svc_gateway.domain.templates import Template


@pytest.mark.parametrize(
    ("template", "matching", "other"),
    [
        ("/v1/jobs", "/v1/jobs", "/v1/jobs/"),
        ("/v1/jobs/{job_id}", "/v1/jobs/a", "/v1/jobs/a/b"),
        ("/v1/jobs/{job_id}:cancel", "/v1/jobs/a:cancel", "/v1/jobs/a"),
        ("/v1/{name=shelves/*}", "/v1/shelves/a", "/v1/books/a"),
        ("/v1/{path=**}", "/v1/a/b/c", "/v2/a"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json", "/xwell-known/jwksxjson"),
    ],
)
def test_template_matches_its_paths_alone(template: str, matching: str, other: str) -> None:
    regex = Template.parse(template).regex
    assert re.fullmatch(regex, matching)
    assert not re.fullmatch(regex, other)


@pytest.mark.parametrize("text", ["v1/jobs", "/v1/{", "/v1/{Bad}", "/v1//jobs"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Template.parse(text)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=1, max_size=5), st.data())
def test_path_filled_from_a_template_is_matched_by_it(names: list[str], data: st.DataObject) -> None:
    template = Template.parse("/v1/" + "/".join(f"{{{name}}}" for name in names))
    values = [data.draw(st.text(alphabet=st.characters(exclude_characters="/\n\r"), min_size=1)) for _ in names]
    assert template.fields == tuple(names)
    assert re.fullmatch(template.regex, "/v1/" + "/".join(values), re.DOTALL)


def method(name: str, *bindings: tuple[str, str]) -> Method:
    rest = tuple(Binding(verb, Template.parse(path)) for verb, path in bindings)
    return Method(service="soma.executor.v1.JobService", name=name, context="executor", bindings=rest)


def test_literal_paths_and_verbs_are_tried_before_variables() -> None:
    table = RouteTable(
        (
            method("Get", ("GET", "/v1/jobs/{id}")),
            method("Cancel", ("POST", "/v1/jobs/{id}:cancel")),
            method("Find", ("POST", "/v1/jobs/all")),
        )
    )
    assert [item.template.text for item in table.resources] == [
        "/v1/jobs/all",
        "/v1/jobs/{id}:cancel",
        "/v1/jobs/{id}",
    ]


def test_paths_that_match_the_same_are_one_resource() -> None:
    table = RouteTable((method("Get", ("GET", "/v1/jobs/{id}")), method("Delete", ("DELETE", "/v1/jobs/{job.id}"))))
    assert [item.allow for item in table.resources] == ["DELETE, GET, HEAD"]


def test_two_methods_cannot_share_a_route() -> None:
    table = RouteTable((method("Get", ("GET", "/v1/jobs/{id}")), method("Read", ("GET", "/v1/jobs/{name}"))))
    with pytest.raises(ValueError, match="share the route"):
        _ = table.resources
