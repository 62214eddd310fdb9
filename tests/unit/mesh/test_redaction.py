"""How much a redactor scans, and in what time."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.logging import redact
from mesh.redaction import LARGE_CHARS, SCANNED_CHARS, Redactor, redact_large

SHAPES = Path(__file__).with_name("redaction_shapes.py")


@pytest.mark.timeout(600)
def test_the_time_of_a_scan_grows_with_its_length_and_no_faster() -> None:
    done = subprocess.run([sys.executable, str(SHAPES)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["done"], f"took too long or failed: {done.stdout}{done.stderr}"


def test_a_text_beyond_the_limit_is_cut_and_the_rest_counted() -> None:
    assert Redactor(limit=20).text("write to ann@example.org today") == "write to [truncated 21 characters]"


@pytest.mark.parametrize(
    ("find", "kind"),
    [
        ("ann.lee@mail.example.org", "email"),
        ("4111 1111 1111 1111", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("+49 30 901820 0", "phone"),
        ("sk-abcdefghijklmnopqrstuvwx", "key"),
        ("eyJhbGciOiJF.eyJzdWIiOiJh.c2lnbmF0dXJl", "token"),
        ("YW5uLmxlZUBtYWlsLmV4YW1wbGUub3Jn", "email"),
        ("078-05-1120", "ssn"),
    ],
)
def test_nothing_that_the_limit_cuts_in_two_is_passed_on(find: str, kind: str) -> None:
    text = f"it is {find} indeed"
    assert Redactor(limit=len(text)).text(text) == f"it is [{kind}] indeed"
    for limit in range(len(text)):
        kept = Redactor(limit=limit).text(text).partition("[truncated")[0]
        assert kept.strip() in {"", "it", "it is"} or kept.startswith("it is ["), (limit, kept)


def test_the_limit_cuts_nothing_off_a_private_key_but_its_beginning() -> None:
    text = "-----BEGIN PRIVATE KEY-----\nMIIE AbCd\nEfGh\n-----END PRIVATE KEY----- end"
    assert Redactor(limit=len(text)).text(text) == "[private_key] end"
    assert all("MIIE" not in Redactor(limit=limit).text(text) for limit in range(len(text)))


def test_the_limit_holds_for_all_texts_of_a_value_together() -> None:
    redactor = Redactor(limit=100)
    value = redactor.value(["ann@example.org", "word " * 40, "bob@example.org"])
    assert isinstance(value, list)
    assert value[0] == "[email]"
    assert str(value[1]).endswith(" characters]")
    assert value[2] == "[truncated 15 characters]"


def test_short_texts_use_up_the_limit_too() -> None:
    value = Redactor().value(["a@b.de"] * 10_000)
    assert isinstance(value, list)
    assert value[0] == "[email]"
    assert value[-1] == "[truncated 6 characters]"


def test_a_log_line_is_scanned_up_to_the_limit() -> None:
    line = redact(None, "info", {"event": "a" * (SCANNED_CHARS + 1), "more": "ann@example.org"})
    assert line == {"event": f"[truncated {SCANNED_CHARS + 1} characters]", "more": "[truncated 15 characters]"}


def test_letters_that_only_look_like_those_of_an_account_number_are_no_error() -> None:
    assert Redactor().text("\u017fE12 ABCD EFGH IJKL") == "\u017fE12 ABCD EFGH IJKL"


def test_an_address_right_behind_another_one_is_found() -> None:
    assert Redactor().text("a@b.com%c@d.org") == "[email][email]"


async def test_large_values_are_scanned_in_a_thread() -> None:
    def scan() -> tuple[int, str]:
        return threading.get_ident(), Redactor(limit=LARGE_CHARS).text("word " * 20_000 + "ann@example.org")

    thread, text = await redact_large(scan, SCANNED_CHARS + 1)
    assert thread != threading.get_ident()
    assert text.endswith("word [email]")
    assert (await redact_large(scan, SCANNED_CHARS))[0] == threading.get_ident()


@given(st.text(max_size=400), st.integers(0, 400))
def test_what_is_left_out_is_counted(text: str, limit: int) -> None:
    kept, _, marker = Redactor(limit=limit).text(text).partition("[truncated ")
    left = int(marker.split(" ")[0]) if marker else 0
    assert left == 0 or len(text) - left <= limit
    assert kept == (Redactor().text(text[: len(text) - left]) if left < len(text) else "")
