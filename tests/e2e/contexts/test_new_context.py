"""A new context is a package, a folder of protos, one line and its tests: everything else follows from its declaration.

The notes context stands in `notes/`. It is put into a copy of the repository, which is generated, installed and run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mesh.identity import Claims
from mesh.testing.contract import eventually
from soma_local.home import Home
from soma_local.ports import free_port
from tests.e2e.conftest import START_S, RunningMesh
from tests.e2e.test_edge_contract import service_channel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
NOTES = Path(__file__).parent / "notes"
GROUP = '[project.entry-points."soma.contexts"]\n'
LINE = 'notes = "svc_notes.context:CONTEXT"\n'
COPIED = (
    "LICENSE", "Makefile", "README.md", "buf.gen.yaml", "buf.yaml", "pyproject.toml", "clients/python", "deploy",
    "docs", "examples", "gen", "mesh", "policy", "protos", "requirements", "tests", "tools",
    *(path.name for pattern in ("soma_*", "svc_*") for path in ROOT.glob(pattern)),
)  # fmt: skip
_LEFT = shutil.ignore_patterns("__pycache__")
_GRANTS = 'grants=MappingProxyType({"note.read": ("viewer",), "note.write": ("member",)})'


@dataclass(frozen=True)
class Tree:
    """A copy of the repository with the new context, and where it is installed."""

    root: Path
    site: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program of the tree, on the tree's own code."""
        paths = [self.root, self.root / "gen" / "python", self.root / "clients" / "python", self.site]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        return subprocess.run(
            [sys.executable, *command], cwd=self.root, env=environ, capture_output=True, text=True, check=False
        )

    @contextmanager
    def changed(self, name: str, old: str, new: str) -> Iterator[None]:
        """Another text in a file, while entered."""
        path = self.root / name
        text = path.read_text()
        assert text.count(old) == 1, name
        path.write_text(text.replace(old, new))
        try:
            yield
        finally:
            path.write_text(text)

    def make(self, *command: str) -> str:
        """Run a program of the tree that must succeed; what it prints."""
        done = self.run(*command)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@dataclass
class NotesMesh(RunningMesh):
    """A mesh that runs from where the tree is installed."""

    tree: Tree | None = None

    @property
    def environ(self) -> dict[str, str]:
        assert self.tree is not None
        return super().environ | {"PYTHONPATH": str(self.tree.site)}

    def program(self, module: str, *words: str) -> None:
        """Run a program of the tree, which must succeed, with the mesh's address, authority and key."""
        assert self.tree is not None
        self.tree.make("-m", module, f"localhost:{self.port}", str(self.authority), self.key, *words)

    def soma(self, *words: str, timeout: float = START_S) -> subprocess.CompletedProcess[str]:
        """Runs the command line, outside of this repository: its folder would be looked through first."""
        command = [sys.executable, "-m", "soma_cli", *words]
        return subprocess.run(
            command, cwd=self.home.root, env=self.environ, capture_output=True, text=True, timeout=timeout, check=False
        )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp("tree")
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_LEFT)
        else:
            shutil.copy2(source, target)
    (root / ".venv").symlink_to(Path(sys.prefix))
    shutil.copytree(NOTES, root, dirs_exist_ok=True, ignore=_LEFT)
    project = (root / "pyproject.toml").read_text()
    assert project.count(GROUP) == 1
    (root / "pyproject.toml").write_text(project.replace(GROUP, GROUP + LINE))
    made = Tree(root, root / "site")
    made.make("tools/generate.py")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    made.make(*install, "--target", str(made.site), str(root))
    return made


@pytest.fixture(scope="module")
def notes_mesh(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotesMesh]:
    running = NotesMesh(Home(tmp_path_factory.mktemp("notes")), free_port(), tree=tree)
    up = running.soma("up", "--detach", "--mesh", "--port", str(running.port))
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield running
    finally:
        running.soma("down")


async def test_it_is_served_and_routed_with_a_table_and_a_topic_of_its_own(notes_mesh: NotesMesh) -> None:
    body = {"request_id": "r1", "text": "Größe 漢字"}
    with notes_mesh.client() as client:
        made = await asyncio.to_thread(client.post, "/v1/notes", json=body)
        assert made.status_code == httpx.codes.OK, made.text
        path = f"/v1/notes/{made.json()['note_id']}"

        async def announced() -> bool:
            read = (await asyncio.to_thread(client.get, path)).json()
            return bool(read["text"] == body["text"] and read["announced"])

        await eventually(announced, within_s=60)
    with await asyncio.to_thread(lambda: notes_mesh.client(notes_mesh.tenant_key("stranger"))) as stranger:
        assert (await asyncio.to_thread(stranger.get, path)).status_code == httpx.codes.NOT_FOUND


def test_a_repeated_request_is_answered_as_it_says(notes_mesh: NotesMesh) -> None:
    notes_mesh.program("tests.e2e.notes.repeating")


def test_its_bounds_and_its_idempotency_hold(notes_mesh: NotesMesh) -> None:
    body = {"request_id": "r2", "text": "first"}
    with notes_mesh.client() as client:
        first, again = (client.post("/v1/notes", json=body).json() for _ in range(2))
        assert first["note_id"] == again["note_id"]
        assert client.post("/v1/notes", json={**body, "text": "other"}).status_code == httpx.codes.CONFLICT
        assert client.post("/v1/notes", json={"request_id": "r3"}).status_code == httpx.codes.BAD_REQUEST
        assert "/v1/notes" in client.get("/openapi.json").json()["paths"]


async def test_its_own_actions_are_for_those_that_it_declares(notes_mesh: NotesMesh) -> None:
    codes = {}
    for roles in (("viewer",), ("member",)):
        token = await notes_mesh.token(Claims("dev", "ann", roles=roles))
        with notes_mesh.client(token) as client:
            body = {"request_id": f"by {roles[0]}", "text": "whose"}
            codes[roles[0]] = (await asyncio.to_thread(client.post, "/v1/notes", json=body)).status_code
    assert codes == {"viewer": httpx.codes.FORBIDDEN, "member": httpx.codes.OK}


async def test_the_python_client_has_its_service_and_its_messages(notes_mesh: NotesMesh) -> None:
    viewer = await notes_mesh.token(Claims("dev", "ann", roles=("viewer",)))
    await asyncio.to_thread(notes_mesh.program, "tests.e2e.notes.client", viewer)


async def test_it_is_checked_and_tells_its_version(notes_mesh: NotesMesh) -> None:
    with notes_mesh.client() as client:

        async def told() -> bool:
            answer = await asyncio.to_thread(client.get, "/v1/health/components")
            notes = next(item for item in answer.json()["components"] if item["name"] == "svc_notes")
            return (notes["state"], notes["version"]) == ("COMPONENT_STATE_HEALTHY", "0.2.0")

        await eventually(told, within_s=60)


def test_its_own_server_describes_it(notes_mesh: NotesMesh) -> None:
    with service_channel(notes_mesh, "notes") as channel:
        assert "soma.notes.v1.NoteService" in ProtoReflectionDescriptorDatabase(channel).get_services()


def test_it_has_its_own_token_of_the_secret_store_and_its_own_log(notes_mesh: NotesMesh) -> None:
    assert (notes_mesh.home.secrets / "vault-token-notes").exists()
    assert '"context": "notes"' in notes_mesh.soma("logs", "notes").stdout


def test_what_is_checked_by_name_names_it(tree: Tree) -> None:
    plan = subprocess.run(["make", "-n", "check"], cwd=tree.root, capture_output=True, text=True, check=False).stdout
    assert " svc_notes" in next(line for line in plan.splitlines() if "/mypy " in line)
    tree.make("tools/settings_doc.py")
    assert "\n## `notes`\n" in (tree.root / "docs" / "settings.md").read_text()
    tree.make("tools/scrape_targets.py")
    assert "'notes:9464'" in (tree.root / "deploy" / "prometheus" / "targets.yml").read_text()


def test_its_grants_stand_in_the_table_of_all(tree: Tree) -> None:
    tree.make("tools/grants_doc.py")
    page = (tree.root / "docs" / "operations" / "grants.md").read_text()
    assert "| `note.write` | notes |  | yes | yes | yes |  | as the subject's roles allow |" in page
    before = (ROOT / "docs" / "operations" / "grants.md").read_text().splitlines()
    assert [line for line in page.splitlines() if "`note." not in line] == before


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        ('"note.read": ("viewer",)', "note.write is granted to nobody, and soma.notes.v1.NoteService.CreateNote needs"),
        ('"asset.erase": ("viewer",)', "context notes grants asset.erase, and no method of it requires that"),
        ('"note.read": ("reader",)', "note.read is granted to ('reader',): roles are viewer, member"),
    ],
)
def test_a_grant_that_is_missing_foreign_or_unknown_is_told(tree: Tree, grants: str, message: str) -> None:
    with tree.changed("svc_notes/context.py", _GRANTS, f"grants=MappingProxyType({{{grants}}})"):
        refused = tree.run("tools/grants_doc.py", "--check")
    assert refused.returncode == 1
    assert message in refused.stdout + refused.stderr


def test_it_does_not_start_with_a_foreign_grant(tree: Tree) -> None:
    with tree.changed("svc_notes/context.py", _GRANTS, 'grants=MappingProxyType({"asset.erase": ("viewer",)})'):
        loads = (
            "from mesh.policy import Policy; from mesh.settings import PolicySettings; Policy.load(PolicySettings())"
        )
        refused = tree.run("-c", loads)
    assert refused.returncode == 1
    assert "InvalidContextError: context notes grants asset.erase" in refused.stderr


def test_its_audit_is_tested_with_that_of_all(tree: Tree) -> None:
    suite = ("-m", "pytest", "-p", "no:cacheprovider", "-vv", "tests/integration/contexts/audit", "-k")
    tree.make("-m", "tests.integration.contexts.audit.page")
    assert "| `notes.NoteService.CreateNote` |" in (tree.root / "docs" / "operations" / "audited.md").read_text()
    told = tree.make(*suite, "[notes] or row or page")
    assert "test_every_change_leaves_its_entry_and_no_content[notes] PASSED" in told
    row = 'audited={"NoteService.CreateNote": Entry("note.write", "note")}'
    with tree.changed("tests/integration/notes/audited.py", row, ""):
        refused = tree.run(*suite, "has_a_row")
    assert refused.returncode == 1
    assert "notes.NoteService.CreateNote: name it in tests/integration/notes/audited.py" in refused.stdout


def test_its_case_of_a_repeated_request_is_among_those_of_all(tree: Tree) -> None:
    tree.make("-m", "pytest", "-p", "no:cacheprovider", "tests/e2e/contexts/request_ids", "-k", "has_a_case")


def test_its_imports_are_checked(tree: Tree) -> None:
    tree.make("-m", "tools.import_rules")
    with tree.changed("svc_notes/domain/note.py", '"""A note."""', '"""A note."""\nimport grpc'):
        refused = tree.run("-m", "tools.import_rules")
    assert refused.returncode == 1
    assert "svc_notes.domain.note -> grpc" in refused.stdout


def test_its_style_is_checked(tree: Tree) -> None:
    tree.make("-m", "ruff", "check", "--no-cache", "svc_notes")
    tree.make("-m", "ruff", "format", "--no-cache", "--check", "svc_notes")
