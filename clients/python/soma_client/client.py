"""The client: one connection to the edge of a mesh, and what can be done over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from soma_client.assets import Assets
from soma_client.audit import Audit
from soma_client.calls import Caller
from soma_client.channel import Target
from soma_client.credentials import Credential
from soma_client.gen.services.api_key_service import ApiKeyServiceMethods
from soma_client.gen.services.api_service import ApiServiceMethods
from soma_client.gen.services.budget_service import BudgetServiceMethods
from soma_client.gen.services.capability_service import CapabilityServiceMethods
from soma_client.gen.services.critic_service import CriticServiceMethods
from soma_client.gen.services.dead_letter_service import DeadLetterServiceMethods
from soma_client.gen.services.document_service import DocumentServiceMethods
from soma_client.gen.services.permission_service import PermissionServiceMethods
from soma_client.gen.services.plan_service import PlanServiceMethods
from soma_client.gen.services.provenance_service import ProvenanceServiceMethods
from soma_client.gen.services.receipt_service import ReceiptServiceMethods
from soma_client.gen.services.rubric_service import RubricServiceMethods
from soma_client.gen.services.selector_service import SelectorServiceMethods
from soma_client.gen.services.tenant_service import TenantServiceMethods
from soma_client.gen.services.token_service import TokenServiceMethods
from soma_client.health import Health
from soma_client.jobs import Jobs
from soma_client.traces import Traces

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from soma_client.credentials import TokenSource
    from soma_client.system import System


class SomaClient:
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
    """

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
        self.jobs = Jobs(caller)
        self.plans = PlanServiceMethods(caller)
        self.documents = DocumentServiceMethods(caller)
        self.assets = Assets(caller)
        self.capabilities = CapabilityServiceMethods(caller)
        self.selections = SelectorServiceMethods(caller)
        self.budgets = BudgetServiceMethods(caller)
        self.evaluations = CriticServiceMethods(caller)
        self.rubrics = RubricServiceMethods(caller)
        self.traces = Traces(caller)
        self.provenance = ProvenanceServiceMethods(caller)
        self.receipts = ReceiptServiceMethods(caller)
        self.audit = Audit(caller)
        self.dead_letters = DeadLetterServiceMethods(caller)
        self.health = Health(caller)
        self.tokens = TokenServiceMethods(caller)
        self.api_keys = ApiKeyServiceMethods(caller)
        self.permissions = PermissionServiceMethods(caller)
        self.tenants = TenantServiceMethods(caller)
        self.api = ApiServiceMethods(caller)

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
