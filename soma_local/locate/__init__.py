"""Locates the programs and files that the mesh runs: in wheels, on the system, or downloaded once."""

from __future__ import annotations

from soma_local.locate.chromium import Browser, chromium, node, npm
from soma_local.locate.kafka import kafka_jars, maven
from soma_local.locate.tools import chat_model, d2, espeak_library, ffmpeg, java, plantuml_jar
from soma_local.locate.wheels import LocatedFile, MissingError

__all__ = [
    "Browser",
    "LocatedFile",
    "MissingError",
    "chat_model",
    "chromium",
    "d2",
    "espeak_library",
    "ffmpeg",
    "java",
    "kafka_jars",
    "maven",
    "node",
    "npm",
    "plantuml_jar",
]
