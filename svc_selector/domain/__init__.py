"""Candidates, their ranking, decisions and budgets: model and rules of the selector."""
