"""Comparing what two steps composed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.errors import Reason, SomaError
from soma.executor.v1 import document_service_pb2 as pb
from soma_providers.port import Artefact, InvocationResult
from svc_executor.adapters.documents import ProcessDiffer
from svc_executor.app.diff_documents import DiffDocuments
from svc_executor.domain import inputs
from svc_executor.domain.documents import RevisionRef
from svc_executor.domain.run import AttemptInput, JobRun, SelectInput
from svc_executor.rpc.document_service import DocumentServicer
from tests.conformance import harness, openai
from tests.unit.executor.rig import OWNER, Rig, plan, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import Invocation, JsonValue
    from svc_executor.domain.documents import DocumentDiff
    from svc_executor.domain.peers import AssetInfo


def drawn(width: int) -> object:
    """A provider's behaviour: a picture so wide."""

    def script(_: Invocation) -> InvocationResult:
        return InvocationResult((Artefact(openai.png(width, 40), "image/png", "picture.png", "diagram"),), model="m-1")

    return script


def document(body: str, version: str) -> dict[str, JsonValue]:
    section: dict[str, JsonValue] = {
        "id": "intro", "title": "Introduction", "body": body,
        "figures": [{"id": "parts", "asset": "${drawing.asset}", "caption": "The parts", "alt": "Boxes"}],
    }  # fmt: skip
    return {"title": "Door", "kind": "report", "version": version, "sections": [section]}


class Library:
    """Jobs that composed documents."""

    def __init__(self, diff: DiffDocuments, rig: Rig) -> None:
        self.diff = diff
        self.rig = rig

    async def composed(self, body: str, version: str, width: int = 40) -> RevisionRef:
        """Run a job that draws a picture and composes a document with it."""
        self.rig.catalogue.providers["mermaid"].script = drawn(width)  # type: ignore[assignment]
        job = await self.rig.submit(
            plan(
                task("drawing"),
                task("doc", "compose_document", depends_on=["drawing"], params=document(body, version)),
            )
        )
        job_run = JobRun(OWNER.tenant_id, job.job_id, 1)
        steps = self.rig.use_cases()
        await steps.open_run(job_run)
        for name in ("drawing", "doc"):
            await steps.select(SelectInput(job_run, name, 1))
            await steps.attempt(AttemptInput(job_run, name, 1))
        return RevisionRef(job.job_id, "doc")

    async def compared(self, old: RevisionRef, new: RevisionRef) -> DocumentDiff:
        """The differences, for the owner."""
        return await self.diff(OWNER.tenant_id, old, new)

    async def refused(self, old: RevisionRef, new: RevisionRef, tenant: str = OWNER.tenant_id) -> Reason:
        """Why they cannot be compared."""
        with pytest.raises(SomaError) as caught:
            await self.diff(tenant, old, new)
        return caught.value.reason


@asynccontextmanager
async def opened() -> AsyncIterator[Library]:
    rig = Rig()
    async with harness.processes() as processes:
        yield Library(DiffDocuments(rig.store, rig.assets, ProcessDiffer(processes)), rig)


@pytest.fixture
async def library() -> AsyncIterator[Library]:
    async with opened() as made:
        yield made


async def test_words_and_figures_that_changed_are_told(library: Library) -> None:
    old = await library.composed("It opens.", "1.0")
    new = await library.composed("It opens. It closes.", "1.1", width=44)
    difference = await library.compared(old, new)
    changes = {(change.part, change.id): change for change in difference.changes}
    assert set(changes) == {("document", "version"), ("section", "intro"), ("figure", "parts")}
    assert "+ It closes." in changes["section", "intro"].lines
    assert "+ It closes." in difference.markdown


async def test_a_document_does_not_differ_from_itself(library: Library) -> None:
    ref = await library.composed("It opens.", "1.0")
    assert (await library.compared(ref, ref)).changes == ()


async def test_a_figure_that_was_erased_since_is_missing(library: Library) -> None:
    old = await library.composed("It opens.", "1.0", width=48)
    new = await library.composed("It opens.", "1.0", width=52)
    description = await library.rig.store.describe(OWNER.tenant_id, old.job_id)
    del library.rig.assets.stored[description.steps[0].asset_ids[0]]
    [change] = (await library.compared(old, new)).changes
    assert (change.part, change.id) == ("figure", "parts")
    assert any(line.startswith("- Missing") for line in change.lines)


async def test_a_step_that_composed_nothing_is_no_revision(library: Library) -> None:
    ref = await library.composed("It opens.", "1.0")
    assert await library.refused(ref, RevisionRef(ref.job_id, "drawing")) is Reason.FAILED_PRECONDITION
    assert await library.refused(RevisionRef(ref.job_id, "nothing"), ref) is Reason.NOT_FOUND


async def test_another_tenants_document_is_not_found(library: Library) -> None:
    ref = await library.composed("It opens.", "1.0")
    assert await library.refused(ref, ref, tenant="tenant-b") is Reason.NOT_FOUND


@pytest.mark.parametrize("bound", ["MAX_INPUT_FILES", "MAX_INPUT_BYTES"])
async def test_inputs_beyond_the_bound_are_refused_before_they_are_read(
    library: Library, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    ref = await library.composed("It opens.", "1.0")

    async def unread(_: AssetInfo) -> NoReturn:
        raise AssertionError("an asset is read")

    monkeypatch.setattr(inputs, bound, 0)
    monkeypatch.setattr(library.rig.assets, "load", unread)
    assert await library.refused(ref, ref) is Reason.FAILED_PRECONDITION


async def test_the_service_answers_with_changes_and_markdown(library: Library) -> None:
    old, new = [await library.composed(body, "1.0") for body in ("It opens.", "It closes.")]
    request = pb.DiffDocumentsRequest(
        old_revision=pb.DocumentRevision(job_id=old.job_id, step_id=old.step_id),
        new_revision=pb.DocumentRevision(job_id=new.job_id, step_id=new.step_id),
    )
    caller = Caller(OWNER.tenant_id, "user-1", ("member",), (), "", "")
    with use(RequestContext(caller, "r", "t")):
        answer = await DocumentServicer(library.diff).DiffDocuments(request, None)  # type: ignore[arg-type]
    assert [(change.part, change.kind) for change in answer.changes] == [
        ("section", pb.DOCUMENT_CHANGE_KIND_CHANGED),
    ]
    assert (answer.old_version, answer.truncated) == ("1.0", False)
    assert answer.markdown.startswith("# Changes")
