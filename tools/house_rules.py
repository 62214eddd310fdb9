"""Rules of the house that no linter knows.

Providers and tools are invoked only with a selection, tasks are started where somebody watches them, names are plain
words, ports stand in `app/ports.py`, providers are named in their folders, the chassis imports no contract of a
context, folders of tests are named after the code that they test, no file names a package index or a path of somebody's
machine, and nothing unfinished is marked in product code.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from tools.chassis_rules import foreign_contracts
from tools.folder_rules import misnamed_folders
from tools.plain_words import find_banned_words
from tools.port_rules import misplaced_ports
from tools.provider_names import named_providers
from tools.task_rules import bare_tasks

ROOT = Path(__file__).resolve().parent.parent
INDEXES = frozenset(
    {
        "a4aa2ac280bb8d1a",
        "8b5bb5eb9d758455",
        "0dc11026ac75c015",
        "43c04ed1dabe979b",
    }
)
"""Beginnings of the SHA-256 of hosts of package indexes, which are named nowhere, not even here."""
HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+")
UNFINISHED = re.compile(
    "|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b", r"raise Not" + "ImplementedError"))
)
MACHINE = re.compile(r"(?<![\w.~$})-])(?:/(?:(?:home|Users)/[\w.-]+|root)/|\b[A-Za-z]:[\\/]+Users[\\/]+)[\w.]")
"""A path below the folder of a user of some machine."""
SKIPPED = ("gen/", "clients/python/soma_client/gen/", "protos/third_party/")


def files() -> list[Path]:
    """Files of the repository that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [
        ROOT / name for name in listed.stdout.splitlines() if not name.startswith(SKIPPED) and (ROOT / name).is_file()
    ]


def _names(paths: list[Path]) -> list[str]:
    """Paths relative to the repository, with slashes."""
    return [path.relative_to(ROOT).as_posix() for path in paths]


def _is_index(host: str) -> bool:
    """Whether a name or a domain above it is that of a package index."""
    labels = host.split(".")
    names = (".".join(labels[start:]) for start in range(len(labels) - 1))
    return any(hashlib.sha256(name.encode()).hexdigest()[:16] in INDEXES for name in names)


def problems(path: Path) -> list[str]:
    """What is wrong with one file."""
    name = str(path.relative_to(ROOT))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    found = [f"{name} names a package index" for host in set(HOST.findall(text.lower())) if _is_index(host)]
    if MACHINE.search(text):
        found.append(f"{name} names a path of somebody's machine")
    if name.endswith((".py", ".proto", ".rego", ".sql")) and UNFINISHED.search(text):
        found.append(f"{name} marks something as unfinished")
    if name.endswith(".py"):
        found += [f"{place} begins a task that nobody watches" for place in bare_tasks(name, text)]
        found += [f"{name} imports {module}, which is no platform message" for module in foreign_contracts(name, text)]
        found += [f"{name} names something by a metaphor, {metaphor}" for metaphor in find_banned_words(text)]
        found += [
            f"{name} declares the port {port}, which belongs into app/ports.py" for port in misplaced_ports(name, text)
        ]
        found += [f"{name} names {provider}, a provider, tool or model" for provider in named_providers(name, text)]
    invokes = re.search(r"\.invoke\(", text) and name.startswith("svc_")
    if invokes and not re.search(r"chosen|selection", text):
        found.append(f"{name} invokes a provider without a selection")
    return found


def main() -> int:
    """Prints every problem."""
    paths = files()
    found = [problem for path in paths for problem in problems(path)]
    found += [f"{folder} names no package that is tested" for folder in misnamed_folders(_names(paths))]
    for problem in found:
        print(problem)
    print(f"house rules: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
