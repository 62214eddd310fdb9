"""Writes deploy/prometheus/targets.yml, the processes that Prometheus scrapes: one for each context.

`--check` fails when the file does not match the contexts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mesh.contexts import installed

OUT = Path(__file__).resolve().parent.parent / "deploy" / "prometheus" / "targets.yml"
PORT = 9464
HEAD = f"""\
# Made by tools/scrape_targets.py from the contexts: an example, in which a context's host has its name and
# SA01_TELEMETRY_METRICS_BIND port {PORT}. Replace it by what your deployment knows of its hosts.
"""


def render(names: list[str]) -> str:
    """The file for contexts of these names."""
    targets = [f"- targets: ['{name}:{PORT}']\n" for name in names]
    return HEAD + "".join(targets)


def main(out: Path = OUT) -> int:
    """Writes, or checks."""
    text = render([context.name for context in installed()])
    if "--check" not in sys.argv:
        out.write_text(text, encoding="utf-8")
        return 0
    if out.exists() and out.read_text(encoding="utf-8") == text:
        return 0
    print("deploy/prometheus/targets.yml does not match the contexts: run `make proto`")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
