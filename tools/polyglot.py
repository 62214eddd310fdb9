"""Builds the clients in Go, TypeScript and Java: stubs from the protos, then the program `submit-and-download`.

`python tools/polyglot.py [go] [typescript] [java]` builds those named, else all. A language whose tools are not found
is left out, with one line that says what is missing. What is up to date is not built again. Exits with 1 when a build
fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from google.rpc import error_details_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
BUF = ROOT / ".venv" / "bin" / "buf"
SERVICE_CONFIG = ROOT / "protos" / "service_config.json"
MADE = frozenset({"gen", "build", "node_modules"})
"""Folders that a build makes; git ignores them."""


class Client(ABC):
    """The client in one language, in the folder of `clients/` that has its name."""

    name: str

    @property
    def folder(self) -> Path:
        return ROOT / "clients" / self.name

    @property
    def is_built(self) -> bool:
        """Whether the program was built from these very sources."""
        return self._stamp.exists() and self._stamp.read_text() == self._digest()

    @property
    @abstractmethod
    def program(self) -> Sequence[str]:
        """Command that runs the built program."""

    @abstractmethod
    def missing(self) -> str:
        """Gives what is missing to build it; empty: nothing."""

    def build(self) -> None:
        """Builds it anew. Raises CalledProcessError, OSError or BuildError."""
        self._stamp.unlink(missing_ok=True)
        self._build()
        self._stamp.write_text(self._digest())

    @abstractmethod
    def _build(self) -> None: ...

    def _generate_stubs(self) -> None:
        _run([BUF, "generate", "--template", self.folder / "buf.gen.yaml"], ROOT)

    @property
    def _stamp(self) -> Path:
        return self.folder / "build" / "built.sha256"

    def _digest(self) -> str:
        """SHA-256 of everything that the build reads, with the names of the files."""
        digest = hashlib.sha256()
        for path in sorted(self._sources()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(ROOT)} {content}\n".encode())
        return digest.hexdigest()

    def _sources(self) -> Iterator[Path]:
        yield from (ROOT / "protos").rglob("*.proto")
        yield from (SERVICE_CONFIG, Path(__file__))
        for path in self.folder.rglob("*"):
            if path.is_file() and not MADE & set(path.relative_to(self.folder).parts):
                yield path


class BuildError(Exception):
    """Something that was downloaded is not what is pinned."""


class Go(Client):
    """Client on google.golang.org/grpc."""

    name = "go"

    @property
    def program(self) -> Sequence[str]:
        return [str(self.folder / "build" / "submit-and-download")]

    def missing(self) -> str:
        wanted = re.findall(r"^go (\S+)$", (self.folder / "go.mod").read_text(), re.MULTILINE)[0]
        return _older("go", ["go", "env", "GOVERSION"], wanted)

    def _build(self) -> None:
        _run(["go", "build", "-o", "build/", "tool"], self.folder)
        self._generate_stubs()
        shutil.copy(SERVICE_CONFIG, self.folder / "gen")
        _run(["go", "vet", ".", "./cmd/..."], self.folder)
        _run(["go", "build", "-o", "build/", "./cmd/..."], self.folder)


class TypeScript(Client):
    """Client on @grpc/grpc-js."""

    name = "typescript"

    @property
    def program(self) -> Sequence[str]:
        return ["node", str(self.folder / "build" / "js" / "src" / "submit-and-download.js")]

    def missing(self) -> str:
        if shutil.which("npm") is None:
            return "npm is not on PATH"
        return _older("node", ["node", "--version"], "20.0")

    def _build(self) -> None:
        details = self.folder / "build" / "protos" / "google" / "rpc"
        details.mkdir(parents=True, exist_ok=True)
        for name in ("status.proto", "error_details.proto"):
            shutil.copy(Path(error_details_pb2.__file__).with_name(name), details)
        _run(["npm", "ci"], self.folder)  # .npmrc: without scripts of packages
        self._generate_stubs()
        _run(["node_modules/.bin/tsc", "--project", "."], self.folder)
        shutil.copy(SERVICE_CONFIG, self.folder / "build" / "js" / "gen")


class Java(Client):
    """Client on grpc-java."""

    name = "java"
    release = "17"

    @property
    def program(self) -> Sequence[str]:
        path = os.pathsep.join((str(self.folder / "build" / "classes"), str(self._artifacts / "*")))
        return ["java", "-cp", path, "somamesh.client.SubmitAndDownload"]

    def missing(self) -> str:
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            return "its generators are pinned for Linux on x86-64 alone"
        if shutil.which("mvn") is None:
            return "mvn is not on PATH"
        return _older("javac", ["javac", "-version"], self.release)

    def _build(self) -> None:
        classes = self.folder / "build" / "classes"
        shutil.rmtree(self.folder / "build", ignore_errors=True)
        classes.mkdir(parents=True)
        self._fetch()
        self._generate_stubs()
        self._compile(self.folder / "gen", "-nowarn")
        self._compile(self.folder / "src", "-Xlint:all")
        shutil.copy(SERVICE_CONFIG, classes)

    @property
    def _artifacts(self) -> Path:
        return self.folder / "build" / "artifacts"

    def _fetch(self) -> None:
        """Lets Maven copy the jars and the generators; checks each before anything is run."""
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={self._artifacts}"]
        _run(["mvn", "--quiet", "--batch-mode", "--no-transfer-progress", *goal], self.folder)
        check_artifacts(self._artifacts, self.folder / "artifacts.sha256")
        for generator in self._artifacts.glob("*.exe"):
            plain = self.folder / "build" / re.sub(r"-\d.*", "", generator.name)
            generator.rename(plain)
            plain.chmod(0o755)

    def _compile(self, sources: Path, *options: str) -> None:
        listed = self.folder / "build" / "sources.txt"
        listed.write_text("".join(f'"{path}"\n' for path in sorted(sources.rglob("*.java"))))
        classes = self.folder / "build" / "classes"
        path = os.pathsep.join((str(classes), str(self._artifacts / "*")))
        common = ["-encoding", "UTF-8", "--release", self.release, "-d", str(classes), "-cp", path]
        _run(["javac", *options, *common, f"@{listed}"], self.folder)


CLIENTS: Sequence[Client] = (Go(), TypeScript(), Java())


def check_artifacts(folder: Path, pinned: Path) -> None:
    """Raises BuildError unless the folder holds the files listed in `pinned`, byte for byte, and no other."""
    listed = (line.split() for line in pinned.read_text(encoding="ascii").splitlines())
    wanted = {name: digest for digest, name in listed}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise BuildError(f"not what {pinned.relative_to(pinned.parents[2])} lists: {', '.join(wrong)}")


def _run(argv: Sequence[str | Path], folder: Path) -> None:
    """Runs a command; Go fetches no other toolchain for it."""
    subprocess.run(argv, cwd=folder, check=True, env=os.environ | {"GOTOOLCHAIN": "local"}, stdin=subprocess.DEVNULL)


def _older(program: str, argv: Sequence[str], wanted: str) -> str:
    """Says that a program is missing, or older than the version wanted; else gives an empty text."""
    if shutil.which(program) is None:
        return f"{program} is not on PATH"
    answer = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=os.environ | {"GOTOOLCHAIN": "local"}
    )
    found = re.search(r"\d+(\.\d+)*", answer.stdout)
    if found is None:
        return f"{program} does not tell its version"
    if _numbers(found[0]) < _numbers(wanted):
        return f"{program} is {found[0]}, and {wanted} or later is needed"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def build(client: Client) -> bool:
    """Builds a client unless it is up to date or its tools are missing, and prints which; False: its build failed."""
    if missing := client.missing():
        print(f"clients/{client.name}: left out, {missing}", flush=True)
        return True
    if client.is_built:
        print(f"clients/{client.name}: up to date", flush=True)
        return True
    print(f"clients/{client.name}: building", flush=True)
    start = time.monotonic()
    try:
        client.build()
    except (BuildError, OSError, subprocess.CalledProcessError) as failure:
        print(f"clients/{client.name}: failed, {failure}", file=sys.stderr)
        return False
    print(f"clients/{client.name}: built in {time.monotonic() - start:.0f} s", flush=True)
    return True


def main() -> int:
    """Builds the clients that are named, else all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="language", help="go, typescript or java; all when none is given")
    names = parser.parse_args().names
    if unknown := set(names) - {client.name for client in CLIENTS}:
        parser.error(f"no such language: {', '.join(sorted(unknown))}")
    results = [build(client) for client in CLIENTS if not names or client.name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
