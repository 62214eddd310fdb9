"""Recordings, and what goes wrong with them."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

from svc_critic.domain.asset import EvaluationContext
from tests.integration.critic.samples.label import sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.integration.critic.samples.label import Sample
    from tests.integration.critic.samples.theme import Theme

RATE = 22_050


def wav(samples: NDArray[np.float64], rate: int = RATE) -> bytes:
    """The bytes of a recording in 16-bit PCM."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return written.getvalue()


def babble(theme: Theme, seconds: float) -> NDArray[np.float64]:
    """Something like speech: a gliding voice with formants, in syllables and phrases, with hissing consonants."""
    rng = np.random.default_rng(theme.seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 110 + theme.seed % 60 + 18 * np.sin(2 * np.pi * 0.4 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(number * phase) / number**1.2 for number in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * 4.2 * time + rng.uniform(0, 3)), 0, 1) ** 0.5
    phrases = (np.sin(2 * np.pi * time / 3.1) > -0.92).astype(float)
    hiss = rng.normal(0, 0.04, time.size) * (1 - syllables)
    return 0.16 * (np.asarray(voice) * syllables + hiss) * phrases


def recordings(theme: Theme) -> Iterator[Sample]:
    """Good and bad recordings."""
    text = " ".join(theme.sentences)
    seconds = len(text.split()) / 2.6
    context = EvaluationContext(text)
    good = babble(theme, seconds)

    def made(name: str, samples: NDArray[np.float64], code: str = "") -> Sample:
        return sample(f"{theme.name}/audio/{name}", "audio", "audio/wav", wav(samples), context, code=code)

    yield made("speech", good)
    yield made("slower", babble(theme, seconds * 1.4))
    yield made("softer", good * 0.25)
    yield made("silence", good * 0, "SILENT")
    yield made("hardly audible", good * 0.006, "SILENT")
    yield made("overdriven", good * 40, "CLIPPED_AUDIO")
    yield made("only the first words", good[: int(RATE * seconds / 5)], "TOO_SHORT")
    yield made("far too long", babble(theme, seconds * 6), "TOO_LONG")
    rng = np.random.default_rng(theme.seed)
    yield made("static", rng.normal(0, 0.1, good.size), "NOISE")
    yield made("a long pause", np.concatenate((good, np.zeros(RATE * 60))), "SILENT")
    cut = b"RIFF\0\0\0\0JUNK" + wav(good)[12:400]
    yield sample(f"{theme.name}/audio/broken", "audio", "audio/wav", cut, context, code="UNDECODABLE")
