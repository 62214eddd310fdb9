"""Contexts grant the actions of their own methods, and nothing else is granted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.contexts import ROLES, SERVICE, ContextDeclaration, InvalidContextError, installed
from mesh.policy import Bundle, EmbeddedRego, Policy
from mesh.policy import grants as grants_module
from mesh.policy.authorization import ALLOW
from mesh.policy.grant_table import ALWAYS, NEVER, WITHIN_ROLES, grant_table
from mesh.policy.grants import declared_grants, installed_grants, required_actions
from mesh.policy.policy import packaged
from mesh.settings import PolicySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTES = ContextDeclaration(
    name="notes",
    version="1.0.0",
    package="svc_notes",
    protos=("soma.notes.v1",),
    grants={"note.read": ("viewer",), "note.write": ("member",), "note.purge": ("admin", "service")},
)
OTHER = ContextDeclaration(name="other", version="1.0.0", package="svc_other", protos=("soma.other.v1",))
REQUIRED = {
    "soma.notes.v1": {
        "soma.notes.v1.NoteService.GetNote": "note.read",
        "soma.notes.v1.NoteService.CreateNote": "note.write",
        "soma.notes.v1.NoteService.PurgeNotes": "note.purge",
        "soma.notes.v1.NoteService.ShareNote": "note.share",
    },
    "soma.other.v1": {"soma.other.v1.OtherService.ReadNote": "note.read"},
}


def engine(grants: Mapping[str, tuple[str, ...]]) -> EmbeddedRego:
    return EmbeddedRego(Bundle.read(packaged(), grants))


def may(role: str, action: str, *, actor: str = "") -> bool:
    asked = {"action": action, "subject": "s", "roles": [role], "scopes": [], "tenant": "t", "actor": actor}
    return engine(declared_grants([NOTES, OTHER], REQUIRED)).evaluate_sync(ALLOW, asked) is True


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("note.read", {"viewer", "member", "admin", "platform_admin"}),
        ("note.write", {"member", "admin", "platform_admin"}),
        ("note.purge", {"admin", "platform_admin", "service"}),
        ("note.share", set()),
        ("note.unknown", set()),
    ],
)
def test_a_granted_role_and_those_that_include_it_may_act(action: str, allowed: set[str]) -> None:
    assert {role for role in (*ROLES, SERVICE, "root") if may(role, action)} == allowed


def test_what_administrators_are_granted_is_not_done_on_behalf() -> None:
    assert may("platform_admin", "note.write", actor="executor")
    assert not may("platform_admin", "note.purge", actor="executor")


def test_a_foreign_action_is_refused() -> None:
    greedy = replace(OTHER, grants={"note.write": ("viewer",)})
    with pytest.raises(InvalidContextError, match=r"other grants note\.write, and no method of it requires that"):
        declared_grants([greedy], REQUIRED)


def test_an_action_that_another_context_grants_is_refused() -> None:
    greedy = replace(OTHER, grants={"note.read": ("service",)})
    with pytest.raises(InvalidContextError, match=r"note\.read is granted by notes and by other"):
        declared_grants([NOTES, greedy], REQUIRED)


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        ({"note.read": ("reader",)}, "roles are viewer, member, admin, platform_admin and service"),
        ({"note.read": "viewer"}, "as a tuple"),
        ({"note.read": ()}, "granted to no role"),
        ({"note.read": ("viewer", "admin")}, "name the least role alone"),
        ({"note.read": ("service", "service")}, "name the least role alone"),
        ({"Note": ("viewer",)}, r"is not <noun>\.<verb>"),
        ({"*": ("viewer",)}, r"is not <noun>\.<verb>"),
    ],
)
def test_a_grant_that_says_nothing_clear_is_refused(grants: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(InvalidContextError, match=f"context notes: .*{message}"):
        replace(NOTES, grants=grants)


def test_a_grant_that_is_refused_keeps_every_policy_from_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = replace(OTHER, grants={"asset.erase": ("viewer",)})
    monkeypatch.setattr(grants_module, "installed", lambda: [*installed(), greedy])
    for settings in (PolicySettings(), PolicySettings(opa_url="http://127.0.0.1:9")):
        with pytest.raises(InvalidContextError, match=r"other grants asset\.erase"):
            Policy.load(settings)


def test_the_id_of_the_policy_covers_the_grants() -> None:
    grants = installed_grants()
    assert Policy.load(PolicySettings()).policy_id == Bundle.read(packaged(), grants).digest
    wider = {**grants, "asset.erase": ("viewer",)}
    assert Bundle.read(packaged(), wider).digest != Bundle.read(packaged(), grants).digest
    assert Bundle.read(packaged(), dict(reversed(grants.items()))).digest == Bundle.read(packaged(), grants).digest


def test_the_table_tells_who_may_act_and_names_what_nobody_may() -> None:
    contexts = [NOTES, OTHER]
    rows = {row.action: row for row in grant_table(contexts, REQUIRED, engine(declared_grants(contexts, REQUIRED)))}
    assert {action: row.is_denied_to_all for action, row in rows.items()} == {
        "note.purge": False, "note.read": False, "note.share": True, "note.write": False,
    }  # fmt: skip
    assert (rows["note.purge"].roles, rows["note.purge"].on_behalf) == (("admin", "platform_admin", "service"), NEVER)
    assert (rows["note.read"].granted_by, rows["note.read"].on_behalf) == ("notes", WITHIN_ROLES)
    assert rows["note.read"].methods == ("soma.notes.v1.NoteService.GetNote", "soma.other.v1.OtherService.ReadNote")


def test_every_action_of_the_mesh_is_granted_and_the_exceptions_are_these() -> None:
    rows = grant_table(installed(), required_actions(), engine(installed_grants()))
    assert len(rows) >= 40
    assert [row.action for row in rows if row.is_denied_to_all or not row.granted_by] == []
    assert {row.action for row in rows if row.on_behalf == ALWAYS} == {
        "budget.settle", "capability.report_health", "permission.read",
    }  # fmt: skip


def test_policy_and_declarations_know_the_same_roles() -> None:
    includes = engine({}).evaluate_sync("data.soma.authz.includes", {})
    assert isinstance(includes, dict)
    expected = {role: sorted(ROLES[: number + 1]) for number, role in enumerate(ROLES)}
    assert {role: sorted(names) for role, names in includes.items()} == {**expected, SERVICE: [SERVICE]}
