"""gRPC services of the selector."""

from svc_selector.rpc.budget_service import BudgetServicer
from svc_selector.rpc.convert.selections import SelectionConverter
from svc_selector.rpc.selector_service import SelectorServicer

__all__ = ["BudgetServicer", "SelectionConverter", "SelectorServicer"]
