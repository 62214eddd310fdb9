"""Every service of the mesh that has methods for clients."""

# Generated from protos/soma by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.services.api_key_service import ApiKeyServiceMethods
from soma_client.gen.services.api_service import ApiServiceMethods
from soma_client.gen.services.asset_service import AssetServiceMethods
from soma_client.gen.services.audit_service import AuditServiceMethods
from soma_client.gen.services.budget_service import BudgetServiceMethods
from soma_client.gen.services.capability_service import CapabilityServiceMethods
from soma_client.gen.services.critic_service import CriticServiceMethods
from soma_client.gen.services.dead_letter_service import DeadLetterServiceMethods
from soma_client.gen.services.degradation_service import DegradationServiceMethods
from soma_client.gen.services.document_service import DocumentServiceMethods
from soma_client.gen.services.job_service import JobServiceMethods
from soma_client.gen.services.permission_service import PermissionServiceMethods
from soma_client.gen.services.plan_service import PlanServiceMethods
from soma_client.gen.services.provenance_service import ProvenanceServiceMethods
from soma_client.gen.services.receipt_service import ReceiptServiceMethods
from soma_client.gen.services.rubric_service import RubricServiceMethods
from soma_client.gen.services.selector_service import SelectorServiceMethods
from soma_client.gen.services.tenant_service import TenantServiceMethods
from soma_client.gen.services.token_service import TokenServiceMethods
from soma_client.gen.services.trace_service import TraceServiceMethods


class Services:
    """Every service of the mesh, each with its methods."""

    def __init__(self, caller: Caller) -> None:
        self.api_keys = ApiKeyServiceMethods(caller)
        self.api = ApiServiceMethods(caller)
        self.assets = AssetServiceMethods(caller)
        self.audit = AuditServiceMethods(caller)
        self.budgets = BudgetServiceMethods(caller)
        self.capabilities = CapabilityServiceMethods(caller)
        self.evaluations = CriticServiceMethods(caller)
        self.dead_letters = DeadLetterServiceMethods(caller)
        self.health = DegradationServiceMethods(caller)
        self.documents = DocumentServiceMethods(caller)
        self.jobs = JobServiceMethods(caller)
        self.permissions = PermissionServiceMethods(caller)
        self.plans = PlanServiceMethods(caller)
        self.provenance = ProvenanceServiceMethods(caller)
        self.receipts = ReceiptServiceMethods(caller)
        self.rubrics = RubricServiceMethods(caller)
        self.selections = SelectorServiceMethods(caller)
        self.tenants = TenantServiceMethods(caller)
        self.tokens = TokenServiceMethods(caller)
        self.traces = TraceServiceMethods(caller)
