"""Keeps files and functions small enough to be read in one sitting.

Files: p95 at most 300 lines, none over 500; of tests none over 300. Functions: p95 at most 30 lines, none over 60,
signature and docstring left out. Generated code does not count.
"""

from __future__ import annotations

import ast
import math
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ("gen/", "clients/python/soma_client/gen/")
FILE_P95, FILE_MAX, TEST_MAX = 300, 500, 300
FUNCTION_P95, FUNCTION_MAX = 30, 60


def sources() -> list[Path]:
    """Python files of the repository, generated ones left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split() if not name.startswith(GENERATED) and (ROOT / name).exists()]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a body, the docstring left out."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def functions(path: Path) -> list[tuple[int, str]]:
    """Length and place of each function of a file."""
    tree = ast.parse(path.read_text())
    return [
        (body_lines(node), f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def judge(kind: str, found: list[tuple[int, str]], p95: int, limit: int) -> bool:
    """Prints what is too long and the figures; True when all is well."""
    if not found:
        return True
    ordered = sorted(found)
    for size, name in (item for item in ordered if item[0] > limit):
        print(f"{name} has {size} lines, more than {limit}")
    reached = ordered[math.ceil(0.95 * len(ordered)) - 1][0]
    print(f"{kind}: {len(ordered)}, p95 {reached} (at most {p95}), longest {ordered[-1][0]} (at most {limit})")
    return reached <= p95 and ordered[-1][0] <= limit


def fits(paths: list[Path]) -> bool:
    """Judges files and their functions."""
    files = [(len(path.read_text().splitlines()), str(path.relative_to(ROOT))) for path in paths]
    tests = [item for item in files if item[1].startswith("tests/")]
    found = [item for path in paths for item in functions(path)]
    return all(
        [
            judge("files", files, FILE_P95, FILE_MAX),
            judge("files of tests", tests, TEST_MAX, TEST_MAX),
            judge("functions", found, FUNCTION_P95, FUNCTION_MAX),
        ]
    )


def main() -> int:
    """Judges the repository."""
    return 0 if fits(sources()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
