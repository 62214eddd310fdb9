"""Composes documents from text, requirements and assets, as Markdown, HTML, PDF and a bundle."""

from svc_executor.adapters.providers.composer.provider import create

__all__ = ["create"]
