"""Checks who may import whom, as `import_rules.ini` says, for every context.

In that file a line `svc_*.domain` stands for the module of each context that has it. import-linter wants each named.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
_PATTERN = re.compile(r"^( +)svc_\*(.*)$", re.MULTILINE)


def packages(root: Path) -> list[str]:
    """The packages of the contexts: those that declare themselves."""
    return sorted(path.parent.name for path in root.glob("svc_*/context.py"))


def expanded(rules: str, root: Path) -> str:
    """The rules with a line for each context; without one for a module that a context does not have."""

    def lines(found: re.Match[str]) -> str:
        indent, inner = found.groups()
        named = [f"{package}{inner}" for package in packages(root) if _exists(root, f"{package}{inner}")]
        return "\n".join(f"{indent}{name}" for name in named)

    return _PATTERN.sub(lines, rules)


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
