"""What is too long is found and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import sizes

if TYPE_CHECKING:
    from pathlib import Path

ROOMY = 40  # files that fit, so that one that does not is no more than the odd one out


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is judged instead of the repository."""
    monkeypatch.setattr(sizes, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    return tmp_path


def write(folder: Path, **files: str) -> list[Path]:
    """Files of these names and texts among many small ones; `__` stands for a folder."""
    texts = {f"small{number}": "def f() -> None:\n    return\n" for number in range(ROOMY)} | files
    paths = [folder / f"{name.replace('__', '/')}.py" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text)
    return paths


def function(lines: int) -> str:
    return 'def long() -> None:\n    """Long."""\n' + "    pass\n" * lines


@pytest.mark.parametrize(
    ("name", "lines", "fine"),
    [("long", 500, True), ("long", 501, False), ("tests__test_long", 300, True), ("tests__test_long", 301, False)],
)
def test_a_file_has_so_many_lines_and_one_of_tests_fewer(
    judged: Path, capsys: pytest.CaptureFixture[str], name: str, lines: int, *, fine: bool
) -> None:
    assert sizes.fits(write(judged, **{name: "pass\n" * lines})) is fine
    told = f"{name.replace('__', '/')}.py has {lines} lines, more than"
    assert (told in capsys.readouterr().out) is not fine


@pytest.mark.parametrize(("lines", "fine"), [(60, True), (61, False)])
def test_a_function_has_so_many_lines_without_its_head(
    judged: Path, capsys: pytest.CaptureFixture[str], lines: int, *, fine: bool
) -> None:
    assert sizes.fits(write(judged, odd=function(lines))) is fine
    assert (f"odd.py:1 long has {lines} lines" in capsys.readouterr().out) is not fine


def test_many_long_files_are_refused_though_none_is_over_the_limit(judged: Path) -> None:
    assert not sizes.fits(write(judged, **{f"long{number}": "pass\n" * 301 for number in range(ROOMY)}))


def test_generated_code_is_not_judged() -> None:
    judged = {path.relative_to(sizes.ROOT).parts[0] for path in sizes.sources()}
    assert {"mesh", "soma_cli", "soma_local", "svc_executor", "tests", "tools"} <= judged
    assert "gen" not in judged


def test_the_tests_of_this_repository_are_judged() -> None:
    assert sizes.ROOT / "tests" / "conftest.py" in sizes.sources()
