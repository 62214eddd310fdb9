"""Candidates, judgements, decisions and budgets: model and rules of the selector."""
