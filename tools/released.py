"""Compares the contract of each context with its last release, and keeps it as the next.

A context is released by itself: `protos/released/<context>.binpb` is its contract as it was then, and `released.json`
beside it says at which version. `platform` is what all contexts share, with the version of the project. Without
arguments every contract is compared by `buf breaking`; `--keep critic` keeps that of the critic as it is now, `--keep`
alone all that have a new version.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mesh.contexts import installed

ROOT = Path(__file__).resolve().parent.parent
BUF = str(Path(sys.executable).parent / "buf")
_FINDINGS = 100
"""Exit code of `buf breaking` that found something."""
PLATFORM = "platform"
PLATFORM_PROTOS = ("soma.common.v1", "soma.events.v1")


@dataclass(frozen=True)
class Contract:
    """The protobuf packages of a context, or of the platform, and the version that they have now."""

    name: str
    version: str
    protos: tuple[str, ...]

    @property
    def folders(self) -> list[str]:
        """Folders of the packages, relative to `protos`."""
        return [package.replace(".", "/") for package in self.protos]


def contracts(root: Path) -> list[Contract]:
    """The contracts of the platform and of the installed contexts."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [Contract(context.name, context.version, context.protos) for context in installed()]
    return [Contract(PLATFORM, project["version"], PLATFORM_PROTOS), *own]


def released(root: Path) -> dict[str, Contract]:
    """The last releases by name; none of what was not released yet."""
    file = _index(root)
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {name: Contract(name, each["version"], tuple(each["protos"])) for name, each in found.items()}


def image(root: Path, name: str) -> Path:
    """The file of a released contract."""
    return root / "protos" / "released" / f"{name}.binpb"


def compare(root: Path, contract: Contract) -> list[str]:
    """What breaks clients of a released contract, as buf tells it, a line each.

    An image holds what its files import, too: of that the findings belong to others.
    """
    command = [BUF, "breaking", "--error-format", "json", "--against", str(image(root, contract.name))]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if done.returncode not in {0, _FINDINGS}:
        raise RuntimeError(f"buf cannot compare {contract.name} with its last release: {done.stderr.strip()}")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        f"{place}:{each.get('start_line', 0)}: {each['message']} ({contract.name} {contract.version})"
        for each in found
        if any(f"{folder}/" in (place := each.get("path", each["message"])) for folder in contract.folders)
    ]


def record_release(root: Path, contract: Contract) -> None:
    """Records the contract as it is now as the released one."""
    image(root, contract.name).parent.mkdir(parents=True, exist_ok=True)
    paths = [word for folder in contract.folders for word in ("--path", f"protos/{folder}")]
    command = [BUF, "build", "--exclude-source-info", *paths, "--output", str(image(root, contract.name))]
    subprocess.run(command, cwd=root, check=True)
    write_index(root, released(root) | {contract.name: contract})


def write_index(root: Path, contracts_of: dict[str, Contract]) -> None:
    """Write down which versions the images are of."""
    index = {name: {"version": each.version, "protos": each.protos} for name, each in sorted(contracts_of.items())}
    _index(root).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def check(root: Path) -> list[str]:
    """Problems of all released contracts."""
    return [problem for contract in released(root).values() for problem in compare(root, contract)]


def release(root: Path, names: list[str]) -> list[str]:
    """Keep these contracts, all with a new version for none; problems when one of them has none."""
    known = {contract.name: contract for contract in contracts(root)}
    before = released(root)
    unknown = [f"{name} is no context; there are: {', '.join(known)}" for name in names if name not in known]
    chosen = [known[name] for name in names if name in known] if names else list(known.values())
    stale = [each for each in chosen if each.name in before and each.version == before[each.name].version]
    problems = unknown + [f"{each.name} {each.version} was released already: {_where(each)}" for each in stale if names]
    if problems:
        return problems
    for contract in chosen:
        if contract not in stale:
            record_release(root, contract)
            print(f"released {contract.name} {contract.version}")
    return []


def _index(root: Path) -> Path:
    return root / "protos" / "released" / "released.json"


def _where(contract: Contract) -> str:
    place = "pyproject.toml" if contract.name == PLATFORM else f"svc_{contract.name}/context.py"
    return f"raise `version` in {place}"


def main(root: Path = ROOT) -> int:
    """Compares, or keeps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", nargs="*", metavar="CONTEXT", help="keep contracts as the released ones")
    names = parser.parse_args().keep
    problems = check(root) if names is None else release(root, names)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
