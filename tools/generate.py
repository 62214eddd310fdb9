"""Makes everything that follows from the protos: Python code, descriptor set, service config, OpenAPI document, client.

`--check` makes it in a folder of its own and fails on a difference, naming the files.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INPUTS = ("protos", "tools", "buf.yaml", "buf.gen.yaml")
OUTPUTS = ("gen", "protos/service_config.json", "clients/python/soma_client/gen")


def generate(root: Path) -> None:
    """Runs the generators below `root`."""
    buf = ROOT / ".venv" / "bin" / "buf"
    python = ROOT / ".venv" / "bin" / "python"
    descriptors = "gen/descriptors/soma.binpb"
    (root / descriptors).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([buf, "generate"], cwd=root, check=True)
    for stub in (root / "gen" / "python").rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():
            stub.unlink()
    subprocess.run([buf, "build", "-o", descriptors, "--as-file-descriptor-set"], cwd=root, check=True)
    subprocess.run([python, "tools/service_config.py"], cwd=root, check=True)
    subprocess.run([python, "tools/openapi.py"], cwd=root, check=True)
    subprocess.run([python, "-m", "tools.python_client"], cwd=root, check=True)


def differences(left: Path, right: Path) -> list[str]:
    """Paths, relative to both roots, that differ or exist on one side only."""
    found = set()
    for output in OUTPUTS:
        files = {
            path.relative_to(root)
            for root in (left, right)
            for path in ([root / output] if (root / output).is_file() else (root / output).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        for name in files:
            one, other = left / name, right / name
            if not (one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)):
                found.add(str(name))
    return sorted(found)


def main() -> int:
    """Generates in place, or checks."""
    if "--check" not in sys.argv:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in INPUTS:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy / name)
        (copy / ".venv").symlink_to(ROOT / ".venv")
        generate(copy)
        changed = differences(ROOT, copy)
    for name in changed:
        print(f"{name} does not follow from the protos; run `make proto`")
    return 1 if changed else 0


if __name__ == "__main__":
    raise SystemExit(main())
