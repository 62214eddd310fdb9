"""Checks who may import whom, as `import_rules.ini` says, for every context and library.

In that file a line `svc_*.domain` stands for the module of each context that has it, `soma_*` for each library but
those that the same contract names, and `soma_providers.*` for each provider. import-linter wants each named.
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
_PROVIDER = re.compile(r"^( +)soma_providers\.\*$", re.MULTILINE)
_NAMED = re.compile(r"^ +(soma_\w+)", re.MULTILINE)


def packages(root: Path) -> list[str]:
    """The packages of the contexts: those that declare themselves."""
    return sorted(path.parent.name for path in root.glob("svc_*/context.py"))


def libraries(root: Path) -> list[str]:
    """The libraries, and the programs that stand beside them."""
    return sorted(path.parent.name for path in root.glob("soma_*/__init__.py"))


def providers(root: Path) -> list[str]:
    """The modules of the providers: the folders with an adapter."""
    return sorted(f"soma_providers.{path.parent.name}" for path in root.glob("soma_providers/*/adapter.py"))


def expanded(rules: str, root: Path) -> str:
    """The rules with a line for each context, library and provider; without one for a module that a context lacks."""

    def modules(found: re.Match[str]) -> str:
        indent, inner = found.groups()
        named = [f"{package}{inner}" for package in packages(root) if _exists(root, f"{package}{inner}")]
        return "\n".join(f"{indent}{name}" for name in named)

    rules = _PROVIDER.sub(lambda found: _lines(found, providers(root)), _CONTEXT.sub(modules, rules))
    return "".join(_with_libraries(section, root) for section in _SECTION.split(rules))


def _with_libraries(section: str, root: Path) -> str:
    others = sorted({*libraries(root)} - {*_NAMED.findall(section)})
    return _LIBRARY.sub(lambda found: _lines(found, others), section)


def _lines(found: re.Match[str], names: list[str]) -> str:
    """A line for each name, as far to the right as the pattern was."""
    return "\n".join(f"{found.group(1)}{name}" for name in names)


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
