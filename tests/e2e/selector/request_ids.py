"""Budgets and selections: a case of each method whose request has an id."""

from __future__ import annotations

from tests.e2e.contexts.request_ids.api import Api, Case, Json, unused


def budget(api: Api) -> Case:
    def cap(limit: int) -> Json:
        return {"budget": {"modality": "MODALITY_DOCUMENT", "limit_micro_usd": str(limit)}}

    return Case(
        cap(7_000_000_000), cap(8_000_000_000), "modality", ("selector.v1.BudgetService.ListBudgets", {}),
        lambda _: api("selector.v1.BudgetService.SetBudget", cap(9_000_000_000)),
    )  # fmt: skip


def selection(api: Api) -> Case:
    job = unused("session")

    def need(kind: str) -> Json:
        wanted = {"modality": "MODALITY_DIAGRAM", "task_type": kind}
        return {"requirements": wanted, "subject_context": {"session_id": job}}

    read = ("selector.v1.SelectorService.ListSelections", {"page_size": 1})
    return Case(need("image_diagram"), need("chart"), "selection_id", read)


CASES = {
    "selector.v1.BudgetService.SetBudget": budget,
    "selector.v1.SelectorService.Select": selection,
}
