"""The folder of a local mesh: data, logs, run files, secrets, certificates."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class Home:
    """The paths of a local mesh, all below its root folder."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """Returns the folder of `SA01_HOME`, else `.soma` in the current folder."""
        return cls(Path(environ.get("SA01_HOME") or ".soma").expanduser().resolve())

    @property
    def logs(self) -> Path:
        """One log file per program."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Run files: one JSON file per running program, and the state of the supervisor."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """Generated passwords, tokens and keys, one 0600 file each."""
        return self.root / "secrets"

    @property
    def pki(self) -> Path:
        """The mesh's own certificate authority and what it signed."""
        return self.root / "pki"

    @property
    def blobs(self) -> Path:
        """Bytes of assets."""
        return self.root / "blobs"

    @property
    def anchors(self) -> Path:
        """The signed anchors of the audit chains."""
        return self.root / "anchors"

    @property
    def revocations(self) -> Path:
        """The last sets of existing and revoked API keys that each service received."""
        return self.root / "revocations"

    @property
    def cache(self) -> Path:
        """Downloaded files, safe to delete."""
        return self.root / "cache"

    def create(self) -> None:
        """Creates the folder tree; the root and its secrets are readable by the owner alone."""
        for folder in (self.root, self.logs, self.run, self.secrets, self.pki, self.blobs, self.anchors, self.cache):
            folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)

    def secret(self, name: str, *, length: int = 32) -> str:
        """Returns a secret by name; generated on first use as URL-safe text of `length` random bytes."""
        path = self.secrets / name
        if not path.exists():
            self.secrets.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            write_private(path, secrets.token_urlsafe(length))
        return path.read_text(encoding="utf-8").strip()


def write_private(path: Path, content: str | bytes) -> None:
    """Writes a 0600 file atomically: readers see the old content or the new one."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(PRIVATE_FILE)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
