"""The script for exports finds what was done to a file."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from svc_provenance.domain.audit import (
    AUDIT_ACTION_FIELDS,
    EMPTY_CHAIN,
    AuditAction,
    Entry,
    Statement,
    canonical_json,
    entry_members,
    link_entry,
    statement_members,
    to_base64url,
)

if TYPE_CHECKING:
    from types import ModuleType

    from svc_provenance.domain.audit import ChainedEntry

    Line = dict[str, Any]

SCRIPT = Path(__file__).parents[3] / "examples" / "verify_audit.py"
NOW = datetime(2026, 11, 20, 10, 0, 0, 5, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
ANCHORED = 8
CUT = "the end was cut off: the anchor is of entry 8, "


def chain(name: str = "acme", size: int = 10) -> list[ChainedEntry]:
    """A chain from its first entry."""
    entry = Entry(name, 0, "id", NOW, NOW, AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "")))
    end, made = EMPTY_CHAIN, []
    for place in range(1, size + 1):
        made.append(link_entry(end, replace(entry, sequence=place)))
        end = made[-1].position
    return made


def entries(chained_entry: list[ChainedEntry]) -> list[Line]:
    """The lines of entries, as an export has them."""
    return [
        {"entry": entry_members(one.entry), "previous_digest": one.previous_digest.hex(), "digest": one.digest.hex()}
        for one in chained_entry
    ]


def anchor(of: ChainedEntry) -> Line:
    """The last line of an export: a genuine anchor of an entry."""
    statement = statement_members(Statement.ANCHOR, of.entry.chain, of.position, NOW)
    return {
        "anchor": statement,
        "key_version": 1,
        "public_key": to_base64url(KEY.public_key().public_bytes_raw()),
        "signature": to_base64url(KEY.sign(canonical_json(statement))),
    }


@pytest.fixture
def lines() -> list[Line]:
    """An export of ten entries with an anchor of the eighth."""
    made = chain()
    return [*entries(made), anchor(made[ANCHORED - 1])]


class Verdicts:
    """Runs the script on lines."""

    def __init__(self, script: ModuleType, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._script = script
        self._file = file
        self._capsys = capsys

    def __call__(self, lines: list[Line]) -> tuple[int, list[str]]:
        """The exit status and what was printed."""
        self._file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        code = self._script.main([SCRIPT.name, str(self._file)])
        return code, self._capsys.readouterr().out.splitlines()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script of this tree; an installed copy of the examples may be older."""
    spec = importlib.util.spec_from_file_location("verify_audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def verdict(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Verdicts:
    return Verdicts(script, tmp_path / "export.ndjson", capsys)


def test_a_whole_export_is_intact(lines: list[Line], verdict: Verdicts) -> None:
    code, said = verdict(lines)
    assert (code, len(said)) == (0, 1)
    assert said[0].startswith("10 entries, intact; anchored up to entry 8 at ")


@pytest.mark.parametrize("kept", [1, 5, 7])
def test_an_export_whose_anchored_end_was_cut_off_is_not_intact(
    lines: list[Line], verdict: Verdicts, kept: int
) -> None:
    code, said = verdict([*lines[:kept], lines[-1]])
    assert (code, said[0]) == (1, f"{CUT}the last entry is {kept}")
    assert said[-1].startswith(f"{kept} entries, 1 faults; ")


def test_an_anchor_without_any_entry_is_a_cut_end(lines: list[Line], verdict: Verdicts) -> None:
    code, said = verdict(lines[-1:])
    assert (code, said[0]) == (1, f"{CUT}and there is no entry")


def test_entries_behind_the_anchor_may_end_anywhere(lines: list[Line], verdict: Verdicts) -> None:
    assert verdict([*lines[:9], lines[-1]])[0] == 0
    assert verdict([*lines[:ANCHORED], lines[-1]])[0] == 0


def test_an_anchor_before_the_first_entry_is_harmless(lines: list[Line], verdict: Verdicts) -> None:
    code, said = verdict(lines[ANCHORED:])
    assert (code, said) == (0, ["2 entries, intact; the anchor of entry 8 is of none in this export"])


def test_the_anchor_of_another_chain_is_a_fault(lines: list[Line], verdict: Verdicts) -> None:
    other = anchor(chain("umbra")[ANCHORED - 1])
    code, said = verdict([*lines[:-1], other])
    assert code == 1
    assert "8: the anchor is of another chain" in said
    code, said = verdict([*lines[ANCHORED:-1], other])  # it covers no entry here, and is of another chain all the same
    assert (code, said[0]) == (1, "8: the anchor is of another chain")


def test_an_export_of_an_empty_chain_is_intact(verdict: Verdicts) -> None:
    assert verdict([{"anchor": None}]) == (0, ["0 entries, intact; no anchor was made yet"])


def test_an_export_without_its_last_line_was_cut(lines: list[Line], verdict: Verdicts) -> None:
    assert verdict(lines[:-1])[0] == 1
    assert verdict([])[0] == 1


def test_an_entry_that_was_taken_out_is_found(lines: list[Line], verdict: Verdicts) -> None:
    code, said = verdict([*lines[:3], *lines[4:]])
    assert (code, said[0]) == (1, "5: does not come next behind 3")


def test_a_forged_anchor_is_found(lines: list[Line], verdict: Verdicts) -> None:
    statement = {**lines[-1]["anchor"], "sequence": 5, "digest": lines[4]["digest"]}
    code, said = verdict([*lines[:5], {**lines[-1], "anchor": statement}])
    assert (code, said[0]) == (1, "5: the anchor's signature is forged")
