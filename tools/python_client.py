"""Writes clients/python/soma_client/gen: messages, a class of methods for each service, and the deadlines and retries.

Messages are dataclasses by betterproto2, of our protos and of google.rpc, whose error details clients read. The classes
of methods follow from the descriptor set (`tools/python_methods.py`). `tools/generate.py` runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.rpc
from google.protobuf import descriptor_pb2

from tools.openapi_document.contracts import Contracts
from tools.python_methods import module_name, render, render_client, render_packages

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "clients" / "python" / "soma_client" / "gen"
BIN = ROOT / ".venv" / "bin"
PROTOS, THIRD_PARTY = ROOT / "protos", ROOT / "protos" / "third_party"
ERROR_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")
OPTIONS = ("client_generation=none", "server_generation=none")
LINE_LENGTH = 120
NOT_USED = ("buf",)
"""Packages that are generated because our protos import them, and that no generated module imports."""
LICENCE = """\
# Generated code

`make proto` writes this folder from `protos/`; nothing here is edited by hand.

- `soma/`, `google/`: messages, by betterproto2. What is below `google/` follows from Google's protos, Apache-2.0.
- `services/`, `packages.py`, `service_config.json`: by the tools of this repository, Apache-2.0.
"""


def messages() -> None:
    """Generates the messages of all contracts."""
    ours = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "soma").rglob("*.proto"))
    published = Path(google.rpc.__path__[0]).parents[1]
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in (PROTOS, THIRD_PARTY, published))]
    command += [f"--python_betterproto2_out={OUT}", *(f"--python_betterproto2_opt={option}" for option in OPTIONS)]
    environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    with tempfile.TemporaryDirectory() as folder:
        # The plugin formats with the settings of the folder that it runs in.
        (Path(folder) / "ruff.toml").write_text(f"line-length = {LINE_LENGTH}\n")
        done = subprocess.run(
            [*command, *ours, *ERROR_DETAILS], cwd=folder, env=environ, check=False, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    for name in NOT_USED:
        shutil.rmtree(OUT / name)


def methods(contracts: Contracts) -> None:
    """Generates one module for each service and those that name all services and all messages, and formats them."""
    folder = OUT / "services"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""The methods of each service."""\n')
    rendered = {service: text for service in contracts.services() if (text := render(contracts, service))}
    for service, text in rendered.items():
        (folder / f"{module_name(service)}.py").write_text(text)
    (folder / "all_services.py").write_text(render_client(list(rendered)))
    (OUT / "packages.py").write_text(render_packages(contracts.packages()))
    files = sorted([*folder.glob("*.py"), OUT / "packages.py"])
    plain = ("--isolated", "--quiet", f"--line-length={LINE_LENGTH}")
    subprocess.run([BIN / "ruff", "check", *plain, "--fix", "--select=I,F401", *files], check=True)
    subprocess.run([BIN / "ruff", "format", *plain, *files], check=True)


def main() -> int:
    """Writes the folder anew."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    descriptors = ROOT / "gen" / "descriptors" / "soma.binpb"
    messages()
    methods(Contracts(descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())))
    shutil.copyfile(PROTOS / "service_config.json", OUT / "service_config.json")
    (OUT / "README.md").write_text(LICENCE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
