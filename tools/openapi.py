"""Writes gen/openapi/openapi.json from the descriptor set; with `--check` it fails when that file is out of date."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

from google.protobuf import descriptor_pb2

from tools.openapi_document.contracts import Contracts
from tools.openapi_document.document import render

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "gen" / "descriptors" / "soma.binpb"
OUT = ROOT / "gen" / "openapi" / "openapi.json"


def main(arguments: list[str]) -> int:
    """Write the document, or compare it; gives the exit status."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    text = render(Contracts(files), metadata.version("somamesh"))
    if "--check" in arguments:
        if OUT.exists() and OUT.read_text(encoding="utf-8") == text:
            return 0
        print(f"{OUT.relative_to(ROOT)} is out of date: run `make proto`", file=sys.stderr)
        return 1
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
