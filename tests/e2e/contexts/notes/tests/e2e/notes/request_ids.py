"""Notes: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case, Json

_GET = "notes.v1.NoteService.GetNote"


def note(api: Api) -> Case:
    other = str(api("notes.v1.NoteService.CreateNote", {"request_id": "other", "text": "other"})["note_id"])

    def until_announced(answer: Json) -> None:
        """The event of a note changes it once."""
        for note_id in (other, answer["note_id"]):
            while not api(_GET, {"note_id": note_id}).get("announced"):
                pass

    return Case({"text": "one"}, {"text": "other"}, "note_id", (_GET, {"note_id": other}), until_announced)


CASES = {"notes.v1.NoteService.CreateNote": note}
