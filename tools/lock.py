"""Locks the requirements with hashes and without the address of any index. Needs `uv` on the path."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
COMMON = (
    *("--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url"),
    *("--override", "overrides.txt"),
)
PLAIN = ("--no-header", "--no-annotate")


def main() -> None:
    """Compiles each set; those wanted for one data file are locked without what they depend on."""
    if shutil.which("uv") is None:
        raise SystemExit("uv is not on the path: install it, for example with `pipx install uv`")
    for name in ("base", "local", "dev"):
        subprocess.run(
            ["uv", "pip", "compile", *COMMON, *PLAIN, f"{name}.in", "-o", f"{name}.txt"], cwd=FOLDER, check=True
        )
    subprocess.run(
        ["uv", "pip", "compile", *COMMON, *PLAIN, "--no-deps", "assets.in", "-o", "assets.txt"], cwd=FOLDER, check=True
    )


if __name__ == "__main__":
    main()
