"""Gives Java its fonts from a wheel, so that a machine without fonts draws, and all machines draw alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FAMILIES = {
    "dialog": ("DejaVuSans", "DejaVu Sans", "Oblique"),
    "dialoginput": ("DejaVuSansMono", "DejaVu Sans Mono", "Oblique"),
    "sansserif": ("DejaVuSans", "DejaVu Sans", "Oblique"),
    "serif": ("DejaVuSerif", "DejaVu Serif", "Italic"),
    "monospaced": ("DejaVuSansMono", "DejaVu Sans Mono", "Oblique"),
}


def font_configuration(fonts: Path) -> str:
    """Give the content of Java's `fontconfig.properties` for a folder of DejaVu fonts."""
    faces: list[str] = []
    files: dict[str, str] = {}
    for logical, (file, family, slanted) in _FAMILIES.items():
        for style, ending in (("plain", ""), ("bold", "Bold"), ("italic", slanted), ("bolditalic", f"Bold{slanted}")):
            name = f"{family} {ending}".strip()
            faces.append(f"{logical}.{style}.latin-1={name}")
            path = fonts / (f"{file}-{ending}.ttf" if ending else f"{file}.ttf")
            files[name.replace(" ", "_")] = str(path)
    return "\n".join(
        [
            "version=1",
            *faces,
            *(f"filename.{name}={path}" for name, path in files.items()),
            "sequence.allfonts=latin-1",
            "",
        ]
    )
