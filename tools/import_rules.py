"""Checks who may import whom, as `import_rules.ini` says, for every context and library.

In that file a line `svc_*.domain` stands for the module of each context that has it, and `soma_*` for each library but
those that the same contract names. import-linter wants each named.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
_SECTION = re.compile(r"^(?=\[)", re.MULTILINE)
_CONTEXT = re.compile(r"^( +)svc_\*(.*)$", re.MULTILINE)
_LIBRARY = re.compile(r"^( +)soma_\*$", re.MULTILINE)
_NAMED = re.compile(r"^ +(soma_\w+)", re.MULTILINE)


def packages(root: Path) -> list[str]:
    """The packages of the contexts: those that declare themselves."""
    return sorted(path.parent.name for path in root.glob("svc_*/context.py"))


def libraries(root: Path) -> list[str]:
    """The libraries, and the programs that stand beside them."""
    return sorted(path.parent.name for path in root.glob("soma_*/__init__.py"))


def expanded(rules: str, root: Path) -> str:
    """The rules with a line for each context and library; without one for a module that a context does not have."""

    def modules(found: re.Match[str]) -> str:
        indent, inner = found.groups()
        named = [f"{package}{inner}" for package in packages(root) if _exists(root, f"{package}{inner}")]
        return "\n".join(f"{indent}{name}" for name in named)

    return "".join(_with_libraries(section, root) for section in _SECTION.split(_CONTEXT.sub(modules, rules)))


def _with_libraries(section: str, root: Path) -> str:
    others = sorted({*libraries(root)} - {*_NAMED.findall(section)})
    return _LIBRARY.sub(lambda found: "\n".join(f"{found.group(1)}{name}" for name in others), section)


def _exists(root: Path, module: str) -> bool:
    path = root.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def main() -> int:
    """Checks; prints what import-linter says."""
    rules = expanded((ROOT / "tools" / "import_rules.ini").read_text(encoding="utf-8"), ROOT)
    sys.path.insert(0, str(ROOT))
    with tempfile.NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as file:
        file.write(rules)
        file.flush()
        return lint_imports(config_filename=file.name, cache_dir=str(ROOT / ".import_linter_cache"))


if __name__ == "__main__":
    raise SystemExit(main())
