"""Measurements of documents: HTML, Markdown, PDF."""

from svc_critic.adapters.heuristics.documents.evaluator import DocumentHeuristics

__all__ = ["DocumentHeuristics"]
