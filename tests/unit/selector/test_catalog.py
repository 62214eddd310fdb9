"""What a tenant is offered: the platform's capabilities and its own, as last heard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from svc_selector.adapters import catalog
from svc_selector.adapters.catalog import Catalog
from svc_selector.domain.model import Candidate, Ladder

if TYPE_CHECKING:
    import pytest

NEED = ("diagram", "image_diagram")


def candidate(name: str, owner: str = "", **changes: object) -> Candidate:
    tool, provider = name.split("@")
    return replace(Candidate(name, tool, provider, ("diagram",), ("image_diagram",), owner=owner), **changes)  # type: ignore[arg-type]


def loaded(*candidates: Candidate, ladders: dict[tuple[str, str, str], Ladder] | None = None) -> Catalog:
    made = Catalog()
    made.replace_all(candidates, ladders or {})
    return made


def offered(made: Catalog, tenant_id: str) -> dict[str, str]:
    """Owners by id."""
    return {id_: found.owner for id_, found in made.for_task(tenant_id, *NEED).items()}


def test_a_tenant_is_offered_the_platforms_and_its_own() -> None:
    made = loaded(candidate("a@b"), candidate("c@d", "acme"), candidate("e@f", "umbrella"))
    assert offered(made, "acme") == {"a@b": "", "c@d": "acme"}


def test_two_tenants_may_have_capabilities_of_one_id() -> None:
    made = loaded(candidate("a@b", "acme"), candidate("a@b", "umbrella"))
    made.update([], {}, deleted=[("umbrella", "a@b")])
    assert (offered(made, "acme"), offered(made, "umbrella")) == ({"a@b": "acme"}, {})


def test_an_id_that_the_platform_has_is_the_platforms() -> None:
    elsewhere = candidate("c@d", task_types=("other",))
    made = loaded(candidate("a@b"), elsewhere, candidate("a@b", "acme"), candidate("c@d", "acme"))
    assert offered(made, "acme") == {"a@b": ""}


def test_an_id_of_the_platform_that_the_tenant_cannot_see_is_its_own() -> None:
    made = loaded(candidate("a@b", tenants=("umbrella",)), candidate("a@b", "acme"))
    assert offered(made, "acme") == {"a@b": "acme"}


def test_a_change_of_one_tenant_leaves_what_others_are_offered_unchanged() -> None:
    made = loaded(candidate("a@b"))
    before = made.version("acme", *NEED)
    made.update([candidate("c@d", "umbrella")], {("umbrella", *NEED): Ladder(("c@d",), 1)})
    assert made.version("acme", *NEED) == before
    assert made.version("umbrella", *NEED) > before


def test_a_new_capability_of_the_platform_changes_what_owners_of_its_id_are_offered() -> None:
    made = loaded(candidate("a@b", "acme"))
    before = made.version("acme", *NEED)
    made.update([candidate("a@b", task_types=("other",))], {})
    assert made.version("acme", *NEED) > before
    assert offered(made, "acme") == {}


def test_an_override_that_was_given_up_is_dropped() -> None:
    made = loaded(candidate("a@b"), ladders={("", *NEED): Ladder(("a@b",), 1), ("acme", *NEED): Ladder(("c@d",), 2)})
    assert made.ladder("acme", *NEED).version == 2
    made.update([], {("acme", *NEED): Ladder((), 3)})
    assert made.ladder("acme", *NEED).version == 1
    assert len(made._ladders) == 1


def test_nothing_is_kept_of_needs_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MAX_VERSIONS", 10)
    made = loaded()
    before = made.version("acme", *NEED)
    for number in range(50):
        passing = candidate("a@b", "acme", task_types=(f"task_{number}",))
        made.update([passing], {})
        assert made.version("acme", "diagram", f"task_{number}") > before
    made.update([], {}, deleted=[("acme", "a@b")])
    assert (made._candidates, made._by_ladder_key) == ({}, {})
    assert len(made._versions) <= 10


def test_all_task_types_of_a_modality_are_offered_together() -> None:
    made = loaded(candidate("a@b"), candidate("c@d", "acme", task_types=("other",)), candidate("e@f", "umbrella"))
    made.update([candidate("g@h", modalities=("image",)), candidate("i@j", task_types=("chart",))], {})
    assert list(made.for_task("acme", "diagram", "")) == ["a@b", "i@j", "c@d"]
    made.update([candidate("a@b", modalities=("image",))], {})
    assert list(made.for_task("acme", "diagram", "")) == ["i@j", "c@d"]


def test_a_task_type_that_is_named_twice_counts_once() -> None:
    twice = candidate("a@b", task_types=("image_diagram", "image_diagram"), modalities=("diagram", "diagram"))
    made = loaded(twice)
    made.update([candidate("c@d")], {})
    made.update([twice], {}, deleted=[("", "c@d")])
    assert offered(made, "acme") == {"a@b": ""}
    made.update([], {}, deleted=[("", "a@b")])
    assert offered(made, "acme") == {}


CHANGES = st.tuples(st.sampled_from(["", "acme", "umbrella"]), st.sampled_from(["a@b", "c@d"]), st.booleans())


@given(st.lists(CHANGES, max_size=20))
def test_what_is_offered_never_changes_without_a_new_version(changes: list[tuple[str, str, bool]]) -> None:
    made = loaded()
    for owner, name, deleted in changes:
        before = {tenant: (made.version(tenant, *NEED), offered(made, tenant)) for tenant in ("acme", "umbrella")}
        made.update([] if deleted else [candidate(name, owner)], {}, deleted=[(owner, name)] if deleted else [])
        for tenant, (version, was) in before.items():
            assert made.version(tenant, *NEED) > version or offered(made, tenant) == was
