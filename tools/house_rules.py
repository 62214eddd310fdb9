"""Rules of the house that no linter knows.

Providers and tools are invoked only with a selection, no file names a package index or a path of somebody's machine,
and nothing unfinished is marked in product code.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INDEXES = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "repo1.maven" + ".org")
UNFINISHED = re.compile(
    "|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b", r"raise Not" + "ImplementedError"))
)
SKIPPED = ("gen/", "protos/third_party/")


def files() -> list[Path]:
    """Files of the repository that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [
        ROOT / name for name in listed.stdout.splitlines() if not name.startswith(SKIPPED) and (ROOT / name).is_file()
    ]


def problems(path: Path) -> list[str]:
    """What is wrong with one file."""
    name = str(path.relative_to(ROOT))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    found = [f"{name} names a package index" for index in INDEXES if index in text]
    if name.endswith((".py", ".proto", ".rego", ".sql")) and UNFINISHED.search(text):
        found.append(f"{name} marks something as unfinished")
    invokes = re.search(r"\.invoke\(", text) and name.startswith("svc_")
    if invokes and not name.startswith("svc_executor/adapters/") and not re.search(r"chosen|selection", text):
        found.append(f"{name} invokes a provider without a selection")
    return found


def main() -> int:
    """Prints every problem."""
    found = [problem for path in files() for problem in problems(path)]
    for problem in found:
        print(problem)
    print(f"house rules: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
