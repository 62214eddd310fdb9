"""OpenBao, which serves the Vault API, from a wheel."""

from __future__ import annotations

import json
import secrets
import shutil
from typing import TYPE_CHECKING, ClassVar

import httpx

from soma_local.engines.base import Engine, engine_environ
from soma_local.engines.http import get_status
from soma_local.home import write_private
from soma_local.locate import engines as locate
from soma_local.ports import LOOPBACK, free_port
from soma_local.program import Command, ProgramFailedError

if TYPE_CHECKING:
    from pathlib import Path

_ACTIVE, _NOT_INITIALISED = 200, 501
_SEAL_KEY_BYTES = 32
_INIT_TIMEOUT_S = 20.0


class OpenBaoEngine(Engine):
    """OpenBao on raft storage; a static key unseals it after each restart."""

    title: ClassVar[str] = "openbao"

    @property
    def url(self) -> str:
        """Base URL of the Vault API."""
        return f"http://{self.address}"

    @property
    def root_token(self) -> str:
        """The root token, for provisioning only."""
        return (self._home.secrets / "openbao-root-token").read_text(encoding="utf-8").strip()

    async def prepare(self) -> None:
        """Creates the seal key once and writes the configuration."""
        await super().prepare()
        if self._initializing_file.exists():  # killed before its root token was stored: its storage is empty
            shutil.rmtree(self.folder / "raft", ignore_errors=True)
            self._initializing_file.unlink()
        (self.folder / "raft").mkdir(exist_ok=True, mode=0o700)
        key = self._home.secrets / "openbao-seal-key"
        if not key.exists():
            write_private(key, secrets.token_bytes(_SEAL_KEY_BYTES))
        config = {
            "storage": {"raft": {"path": str(self.folder / "raft"), "node_id": "local", "performance_multiplier": 1}},
            "listener": {"tcp": {"address": self.address, "tls_disable": True}},
            "seal": {"static": {"current_key_id": "1", "current_key": f"file://{key}"}},
            "api_addr": self.url,
            "cluster_addr": f"http://{LOOPBACK}:{free_port()}",
            "ui": False,
            "log_level": "warn",
        }
        write_private(self.folder / "openbao.json", json.dumps(config, indent=2))

    def command(self) -> Command:
        """Returns the command of the server."""
        argv = [str(locate.openbao().path), "server", f"-config={self.folder / 'openbao.json'}"]
        return Command(argv, engine_environ(), folder=self.folder)

    async def ready(self) -> bool:
        """Returns whether it is unsealed and active; initializes a new one."""
        status, _ = await get_status(f"{self.url}/v1/sys/health")
        if status == _NOT_INITIALISED:
            await self._initialise()
            return False
        return status == _ACTIVE

    async def _initialise(self) -> None:
        """Initializes the server and stores the root token and the recovery key."""
        self._initializing_file.touch()
        async with httpx.AsyncClient(trust_env=False, timeout=_INIT_TIMEOUT_S) as client:
            response = await client.put(f"{self.url}/v1/sys/init", json={"recovery_shares": 1, "recovery_threshold": 1})
        if response.is_error:
            raise ProgramFailedError(f"openbao could not be initialised: {response.text.strip()}")
        keys = response.json()
        write_private(self._home.secrets / "openbao-recovery-key", keys["recovery_keys_base64"][0])
        write_private(self._home.secrets / "openbao-root-token", keys["root_token"])
        self._initializing_file.unlink()

    @property
    def _initializing_file(self) -> Path:
        return self.folder / "initialising"
