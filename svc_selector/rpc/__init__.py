"""gRPC face of the selector."""

from svc_selector.rpc.budget_service import BudgetServicer
from svc_selector.rpc.facts import SelectionFacts
from svc_selector.rpc.selector_service import SelectorServicer

__all__ = ["BudgetServicer", "SelectionFacts", "SelectorServicer"]
