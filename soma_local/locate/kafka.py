"""Locates the jars of a Kafka broker, or downloads them once with Maven."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import soma_local
from soma_local.home import Home
from soma_local.locate.fetching import fetch_once
from soma_local.locate.wheels import LocatedFile, MissingError, on_path

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "SA01_KAFKA_JARS"
"""Environment variable with the folder of the jars."""

_FETCH_TIMEOUT_S = 600
_ADVICE = "set SA01_KAFKA_JARS to a folder with them, or install Maven (mvn), which fetches them once"


def kafka_jars(home: Home | None = None, *, fetch: bool = True, environ: Mapping[str, str] = os.environ) -> LocatedFile:
    """Returns the folder of `SA01_KAFKA_JARS`, else the one in the home's cache (downloaded with `fetch`).

    Blocks during a download of 54 MB. Raises MissingError with advice when there is none.
    """
    configured = environ.get(VARIABLE)
    if configured:
        if not any(Path(configured).glob("kafka_*.jar")):
            raise MissingError(f"{VARIABLE} names {configured}, which has no Kafka broker: correct or unset it")
        return LocatedFile(Path(configured).resolve(), VARIABLE)
    home = home or Home.from_environment(environ)
    folder = home.cache / f"kafka-{_jars_version()}"
    if not folder.exists():
        if not fetch:
            raise MissingError(f"Kafka's jars are not fetched yet: {_ADVICE}")
        try:
            fetch_once(folder, _fetch)
        except (OSError, subprocess.SubprocessError) as failure:
            raise MissingError(f"Kafka's jars could not be fetched ({failure}): {_ADVICE}") from failure
    return LocatedFile(folder, "maven")


def maven() -> LocatedFile:
    """Returns Maven from PATH; raises MissingError without it."""
    found = on_path("mvn")
    if found is None:
        raise MissingError("mvn is not on PATH (optional: only a bus on Kafka needs it, to fetch the broker's jars)")
    return found


def _project() -> Path:
    """Returns the folder of the list of jars: coordinates in `pom.xml`, digests in `jars.sha256`."""
    return Path(next(iter(soma_local.__path__))).parent / "deploy" / "kafka"


def _jars_version() -> str:
    """Returns the version of the list of jars, which names their folder in the cache."""
    return hashlib.sha256((_project() / "jars.sha256").read_bytes()).hexdigest()[:12]


def _fetch(folder: Path) -> None:
    """Copies the jars with Maven and verifies them; creates the folder only when it is complete."""
    try:
        program = maven()
    except MissingError:
        raise MissingError(f"Kafka's jars are not there: {_ADVICE}") from None
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="kafka.") as name:
        work = Path(name)
        argv = [
            str(program.path), "-q", "-B", "-ntp", "-f", str(_project() / "pom.xml"), "dependency:copy-dependencies",
            f"-DoutputDirectory={work / 'jars'}",
        ]  # fmt: skip
        result = subprocess.run(
            argv, cwd=work, capture_output=True, text=True, errors="replace", check=False, timeout=_FETCH_TIMEOUT_S
        )
        if result.returncode != 0:
            raise MissingError(f"mvn could not fetch Kafka's jars: {(result.stdout + result.stderr).strip()[-500:]}")
        _verify(work / "jars")
        (work / "jars").rename(folder)


def _verify(folder: Path) -> None:
    """Raises MissingError unless the folder has exactly the listed jars, with their digests."""
    listed = (line.split() for line in (_project() / "jars.sha256").read_text(encoding="ascii").splitlines())
    expected = {name: digest for digest, name in listed}
    found = {path.name: _sha256(path) for path in folder.iterdir()}
    mismatched = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if mismatched:
        raise MissingError(f"jars of Kafka are not what deploy/kafka/jars.sha256 lists: {', '.join(mismatched)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
