"""Runs the case of repeated requests on a mesh: `… ADDRESS CA_FILE KEY`."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc

from tests.e2e.contexts.request_ids.api import Api
from tests.e2e.contexts.request_ids.cases import CASES
from tests.e2e.contexts.request_ids.test_request_ids import check_repeat
from tests.request_ids import methods_with_request_id

NAME = "notes.v1.NoteService.CreateNote"


def main(address: str, authority: str, key: str) -> None:
    """AssertionError where a repeat is not answered as the first call, or changes something."""
    assert f"soma.{NAME}" in {method.full_name for method in methods_with_request_id()}
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(authority).read_bytes())) as channel:
        api = Api(channel, key)
        check_repeat(api, NAME, CASES[NAME](api))


if __name__ == "__main__":
    main(*sys.argv[1:])
