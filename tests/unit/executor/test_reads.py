"""A piece of work on a step reads that step and its inputs, however many others the job has and whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from svc_executor.app.diff_documents import DiffDocuments
from svc_executor.domain.documents import DocumentDiff, RevisionRef
from tests.in_memory.executor.job_transaction import MemoryJobTransaction
from tests.in_memory.executor.jobs import MemoryJobs
from tests.unit.executor.rig import task
from tests.unit.executor.test_run_steps import TENANT, Run

if TYPE_CHECKING:
    from svc_executor.domain.documents import Revision

SECTION = {"id": "intro", "title": "Introduction", "body": "${a.text}"}
DOCUMENT = {"title": "Door", "kind": "report", "version": "1", "sections": [SECTION]}


@pytest.fixture
def no_whole_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it an error to read all steps, or everything recorded."""

    async def refused(*_: object) -> NoReturn:
        raise AssertionError("all of a job is read")

    monkeypatch.setattr(MemoryJobTransaction, "steps", refused)
    monkeypatch.setattr(MemoryJobs, "describe", refused)


@pytest.mark.usefixtures("no_whole_jobs")
async def test_a_run_reads_no_other_steps_whole_and_gives_inputs_to_those_that_name_them() -> None:
    run = await composed()
    (spoken,) = run.rig.calls("talker")
    (made,) = run.rig.calls("composer")
    assert (spoken.params["prompt"], made.params["sections"]) == ("x", [{**SECTION, "body": "Words."}])
    assert list(made.params["provenance"]) == ["a"]


@pytest.mark.usefixtures("no_whole_jobs")
async def test_documents_are_compared_without_reading_all_of_their_jobs() -> None:
    run = await composed()
    compared: list[Revision] = []

    async def differ(_: str, old: Revision, new: Revision) -> DocumentDiff:
        compared.extend((old, new))
        raise LookupError("compared")

    ref = RevisionRef(run.job_run.job_id, "doc")
    with pytest.raises(LookupError, match="compared"):
        await DiffDocuments(run.rig.store, run.rig.assets, differ)(TENANT, ref, ref)
    assert [each.params["sections"] for each in compared] == [[{**SECTION, "body": "Words."}]] * 2


async def composed() -> Run:
    """A job that wrote a text and composed a document of it."""
    run = await Run.of(
        task("a", "generate_text", params={"prompt": "x"}), task("doc", "compose_document", params=DOCUMENT)
    )
    for name in ("a", "doc"):
        await run.steps.select(run.select(name))
        await run.steps.attempt(run.attempt(name))
    return run
