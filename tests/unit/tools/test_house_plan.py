"""The rules about which file of a context stands where."""

from __future__ import annotations

import pytest

from tools.house_plan import misplaced

SERVICER = "class NoteServicer(pb_grpc.NoteServiceServicer): ..."
CONVERTER = "def note_to_proto(note: Note) -> pb.Note: ..."
EVENT = "def stored(note): return Event.from_message(note_to_proto(note))"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("svc_x/helpers.py", ""),
        ("svc_x/store/rows.py", ""),
        ("svc_x/rpc/notes.py", SERVICER),
        ("svc_x/rpc/note_service.py", CONVERTER),
        ("svc_x/rpc/note_service.py", "def _shown(note: Note) -> note_pb2.Note: ..."),
        ("svc_x/rpc/convert.py", "def note_to(note): ..."),
        ("svc_x/rpc/convert.py", "def note_message(note): ..."),
        ("svc_x/rpc/convert.py", EVENT),
        ("svc_x/events/assets.py", ""),
        ("svc_x/adapters/memory.py", ""),
        ("svc_x/adapters/store.py", "import asyncpg"),
        ("svc_x/adapters/retention.py", "from mesh.stores.retention import Rule"),
        ("svc_x/adapters/retention.py", "from mesh.stores import retention"),
    ],
)
def test_what_is_out_of_place_is_named(name: str, text: str) -> None:
    problems = misplaced(name, text)
    assert problems
    assert all(problem.startswith(f"{name}: ") for problem in problems)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("svc_x/context.py", ""),
        ("svc_x/bootstrap/background.py", ""),
        ("svc_x/rpc/note_service.py", SERVICER),
        ("svc_x/rpc/convert.py", CONVERTER),
        ("svc_x/rpc/convert/notes.py", "def _lines(note): ..."),
        ("svc_x/rpc/xds/clusters.py", "def cluster(name: str) -> pb.Cluster: ..."),
        ("svc_x/events/published.py", EVENT),
        ("svc_x/events/consumed/assets.py", ""),
        ("svc_x/adapters/postgres/store.py", "import asyncpg"),
        ("svc_x/adapters/blobs.py", "from mesh.stores.blobs import Blobs"),
    ],
)
def test_what_is_in_its_place_is_not(name: str, text: str) -> None:
    assert misplaced(name, text) == []
