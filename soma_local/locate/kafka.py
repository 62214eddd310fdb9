"""Finds the jars of a Kafka broker, or fetches them once through Maven."""

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
from soma_local.locate.wheels import Found, MissingError, on_path

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "SA01_KAFKA_JARS"
"""Names a folder that holds the jars already."""

_FETCH_TIMEOUT_S = 600
_WANTED = "set SA01_KAFKA_JARS to a folder with them, or install Maven (mvn), which fetches them once"


def kafka_jars(home: Home | None = None, *, fetch: bool = True, environ: Mapping[str, str] = os.environ) -> Found:
    """Give the folder of `SA01_KAFKA_JARS`, else the one in the home's cache (filled if allowed).

    Blocks for the time of a 54 MB download when it fetches. Raises MissingError with what to do otherwise.
    """
    given = environ.get(VARIABLE)
    if given:
        if not any(Path(given).glob("kafka_*.jar")):
            raise MissingError(f"{VARIABLE} names {given}, which holds no Kafka broker: correct or unset it")
        return Found(Path(given).resolve(), VARIABLE)
    home = home or Home.from_environment(environ)
    folder = home.cache / f"kafka-{_edition()}"
    if not folder.exists():
        if not fetch:
            raise MissingError(f"Kafka's jars are not fetched yet: {_WANTED}")
        try:
            fetch_once(folder, _fetch)
        except (OSError, subprocess.SubprocessError) as failure:
            raise MissingError(f"Kafka's jars could not be fetched ({failure}): {_WANTED}") from failure
    return Found(folder, "maven")


def maven() -> Found:
    """Give Maven from PATH; raise MissingError without it."""
    found = on_path("mvn")
    if found is None:
        raise MissingError("mvn is not on PATH (optional: only a bus on Kafka needs it, to fetch the broker's jars)")
    return found


def _project() -> Path:
    """Folder with the list of jars: coordinates in `pom.xml`, digests in `jars.sha256`."""
    return Path(next(iter(soma_local.__path__))).parent / "deploy" / "kafka"


def _edition() -> str:
    """Names a set of jars: another list has another folder."""
    return hashlib.sha256((_project() / "jars.sha256").read_bytes()).hexdigest()[:12]


def _fetch(folder: Path) -> None:
    """Let Maven copy the jars and check each; the folder appears only when it is complete."""
    try:
        program = maven()
    except MissingError:
        raise MissingError(f"Kafka's jars are not there: {_WANTED}") from None
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
        _check(work / "jars")
        (work / "jars").rename(folder)


def _check(folder: Path) -> None:
    """Raise MissingError unless the folder holds the listed jars, byte for byte, and no other."""
    listed = (line.split() for line in (_project() / "jars.sha256").read_text(encoding="ascii").splitlines())
    wanted = {name: digest for digest, name in listed}
    found = {path.name: _sha256(path) for path in folder.iterdir()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise MissingError(f"jars of Kafka are not what deploy/kafka/jars.sha256 lists: {', '.join(wrong)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
