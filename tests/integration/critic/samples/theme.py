"""What samples are about and how they look, so that those held out differ from those that were tuned on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import ImageFont

_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


@dataclass(frozen=True)
class Theme:
    """A subject with its labels and sentences, and a look."""

    name: str
    subject: str
    labels: tuple[str, ...]
    sentences: tuple[str, ...]
    ground: str
    ink: str
    pale: str
    fill: str
    face: str
    size: int
    seed: int

    def font(self, size: int = 0) -> ImageFont.FreeTypeFont:
        """Its type face."""
        return _font(self.face, size or self.size)

    @property
    def request(self) -> str:
        """What was asked for."""
        return f"Draw an architecture diagram of the {self.subject} with {', '.join(self.labels)}"


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONTS / f"{face}.ttf"), size)


TUNED = (
    Theme(
        "sign-in", "sign-in feature of a web shop",
        ("Browser", "Sign-in page", "Token service", "User store", "Mail gateway", "Audit log"),
        ("The sign-in feature lets a registered customer open a session with an e-mail address and a password.",
         "After five failed attempts the account is locked for fifteen minutes and the customer is told by mail.",
         "Every attempt is written to the audit log together with its time, its origin and its result.",
         "Sessions end after thirty minutes without activity, or at once when the customer signs out."),
        "#ffffff", "#222222", "#e4e4e4", "#ececff", "DejaVuSans", 26, 1,
    ),
)  # fmt: skip

HELD_OUT = (
    Theme(
        "orders", "order pipeline of a bakery",
        ("Order form", "Price rules", "Oven planner", "Delivery van", "Invoice desk"),
        ("The order pipeline takes orders from cafés until six in the evening and plans the ovens for the night.",
         "Price rules give a discount to cafés that order more than fifty loaves in one week.",
         "A delivery van leaves as soon as its racks are full, and the invoice desk bills at the end of the month.",
         "If an oven fails, the planner moves its loaves to the next oven and tells the driver of the delay."),
        "#fffdf5", "#3a2a10", "#f3ecd8", "#ffe9c4", "DejaVuSerif", 30, 7,
    ),
    Theme(
        "telescope", "control room of a radio telescope",
        ("Antenna dish", "Receiver", "Signal correlator", "Archive", "Observer desk", "Weather mast", "Schedule"),
        ("The control room points the antenna dish at the source that the schedule names for the next hour.",
         "The receiver cools its amplifiers with liquid helium and hands the signal to the correlator.",
         "When the weather mast reports a storm, the dish is parked and the observers are called.",
         "Recordings are kept in the archive for ten years and are open to every university."),
        "#10182b", "#e8f0ff", "#232b3e", "#1d3a6e", "DejaVuSansMono", 24, 23,
    ),
    Theme(
        "vineyard", "weather station of a vineyard",
        ("Rain gauge", "Soil sensor", "Radio mast", "Cellar server", "Frost alarm", "Grower phone", "Wind vane", "Map"),
        ("The weather station measures rain, wind and the moisture of the soil every ten minutes.",
         "A radio mast on the hill collects the readings of all sensors and sends them to the cellar server.",
         "When the air falls below two degrees, the frost alarm rings the grower's phone at any hour.",
         "The map shows which rows of vines were watered and which are still dry."),
        "#f7f7fb", "#3b1f5b", "#e5e2ee", "#e3d6f5", "DejaVuSerif-Italic", 28, 131,
    ),
)  # fmt: skip
