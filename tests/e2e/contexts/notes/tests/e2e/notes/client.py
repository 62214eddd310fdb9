"""Keeps and reads a note with the Python client: `… ADDRESS CA_FILE KEY TOKEN_OF_A_VIEWER`."""

from __future__ import annotations

import asyncio
import sys

import pytest

from soma_client import PermissionDeniedError, SomaClient, types


async def main(address: str, authority: str, key: str, viewer: str) -> None:
    """AssertionError where the two do not read the note as it was kept, or the viewer may keep one."""
    async with SomaClient(address, api_key=key, ca_file=authority) as client:
        made = await client.notes.create(text="by the client")
        assert isinstance(made, types.notes.Note)
        assert (await client.notes.get(note_id=made.note_id)).text == "by the client"
    async with SomaClient(address, token=viewer, ca_file=authority) as client:
        assert (await client.notes.get(note_id=made.note_id)).text == "by the client"
        with pytest.raises(PermissionDeniedError, match=r"note\.write"):
            await client.notes.create(text="no")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
