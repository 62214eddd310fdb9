"""Notes: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case


def note(api: Api) -> Case:
    other = str(api("notes.v1.NoteService.CreateNote", {"request_id": "other", "text": "other"})["note_id"])
    return Case({"text": "one"}, {"text": "other"}, "note_id", ("notes.v1.NoteService.GetNote", {"note_id": other}))


CASES = {"notes.v1.NoteService.CreateNote": note}
