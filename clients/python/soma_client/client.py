"""The client: one connection to the edge of a mesh, and what can be done over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from soma_client.assets import Assets
from soma_client.audit import Audit
from soma_client.calls import Caller
from soma_client.channel import Target
from soma_client.credentials import Credential
from soma_client.gen.services.all_services import Services
from soma_client.health import Health
from soma_client.jobs import Jobs
from soma_client.traces import Traces

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from soma_client.credentials import TokenSource
    from soma_client.system import System


class SomaClient(Services):
    """Calls a mesh through its edge, over gRPC.

        async with SomaClient("localhost:8010", api_key=key, ca_file="ca.pem") as client:
            job = await client.jobs.submit(plan)

    One client serves any number of tasks of one event loop. It connects with its first call.

    Args:
        address: host:port of the edge.
        api_key: An API key. Or:
        token: A token, or a function that gives one that is still good, called before each attempt.
        ca_file: Certificates to trust, PEM; absent: those that come with gRPC.
        server_name: Name that the certificate must hold, where it is not the host of the address.
        plaintext: No TLS, for a server on the same machine.
        system: Time, chance and ids, for tests.

    Without a credential only public methods answer. Raises ValueError for arguments that cannot be used together.
    Each service of the mesh is an attribute (`Services`); these do more than their methods:
    """

    assets: Assets
    audit: Audit
    health: Health
    jobs: Jobs
    traces: Traces

    def __init__(
        self,
        address: str,
        *,
        api_key: str | None = None,
        token: TokenSource | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        server_name: str = "",
        plaintext: bool = False,
        system: System | None = None,
    ) -> None:
        target = Target.of(address, ca_file, server_name, plaintext=plaintext)
        self._address = target.address
        self._caller = caller = Caller(target, Credential.of(api_key, token), system=system)
        super().__init__(caller)
        self.assets = Assets(caller)
        self.audit = Audit(caller)
        self.health = Health(caller)
        self.jobs = Jobs(caller)
        self.traces = Traces(caller)

    async def close(self) -> None:
        """Ends what is running and closes the connection; the client cannot be used after that."""
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<SomaClient {self._address}>"
