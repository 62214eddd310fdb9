"""Measurements of audio: levels, silence, clipping, and the length against the words to be spoken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mesh.errors import Reason, SomaError
from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.adapters.heuristics.wav import read_wav
from svc_critic.app.ports import EvaluatorResult
from svc_critic.domain.asset import AssetKind
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement, zero_scores
from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from svc_critic.adapters.heuristics.measurement_pool import MeasurementPool
    from svc_critic.adapters.heuristics.wav import Sound
    from svc_critic.domain.asset import EvaluatedAsset, EvaluationContext
    from svc_critic.domain.scoring import Measurement

FRAME_S = 0.05
SILENT_DBFS = -50.0
FULL_SCALE = 0.985
WORDS_PER_SECOND = 2.5
"""Usual pace of reading aloud: 150 words a minute."""
_MIN_AMPLITUDE = 1e-6
_MIN_CLIPPED_SAMPLES = 3
_WAV_MEDIA_TYPES = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")
_FFT_SAMPLES = 1_024
_MAX_FRAMES = 400
_MIN_WORDS = 3
_MAX_WORD_LENGTH = 20


@dataclass(frozen=True)
class Levels:
    """Loudness of the frames in dBFS, and the share of samples that are cut at full scale."""

    frames: NDArray[np.float32]
    clipped: float
    flatness: float

    @property
    def loud(self) -> NDArray[np.bool_]:
        """Which frames are not silent."""
        return self.frames > SILENT_DBFS


class AudioHeuristics:
    """Measures WAV files. It does not recognize speech."""

    name = "heuristics/audio"
    kinds = frozenset({AssetKind.AUDIO})

    def __init__(self, measurement_pool: MeasurementPool) -> None:
        self._measurement_pool = measurement_pool

    async def measure(self, tenant_id: str, asset: EvaluatedAsset, context: EvaluationContext) -> EvaluatorResult:
        """Measures a WAV file; UNSUPPORTED_MEDIA_TYPE for other formats."""
        media = asset.media_type.partition(";")[0].strip().lower()
        if media not in _WAV_MEDIA_TYPES and asset.content[:4] != b"RIFF":
            raise SomaError(Reason.UNSUPPORTED_MEDIA_TYPE, f"only WAV audio is judged, not {media}")
        return EvaluatorResult(await self._measurement_pool.run(tenant_id, _measure, asset.content, context))


def _measure(content: bytes, context: EvaluationContext) -> tuple[Measurement, ...]:
    try:
        sound = read_wav(content)
    except UndecodableError as error:
        return zero_scores(FeedbackCode.UNDECODABLE, str(error), f"It cannot be opened: {error}.")
    levels = measure_levels(sound)
    if not levels.loud.any():
        text = f"{sound.seconds:.1f} s without a sound above {SILENT_DBFS:.0f} dBFS"
        return zero_scores(FeedbackCode.SILENT, text, "The recording is silent; produce it again.")
    return (*_clarity(levels), *_length(sound, context), *_pauses(levels))


def measure_levels(sound: Sound) -> Levels:
    """Returns the levels of a sound."""
    size = max(1, min(sound.samples.size, round(sound.rate * FRAME_S)))
    frames = sound.samples[: sound.samples.size // size * size].reshape(-1, size)
    power = np.sqrt((frames**2).mean(axis=1))
    decibels = (20 * np.log10(np.maximum(power, _MIN_AMPLITUDE))).astype(np.float32)
    return Levels(decibels, _clipped(sound), _flatness(frames[decibels > SILENT_DBFS]))


def _clipped(sound: Sound) -> float:
    """Returns the share of samples in runs at full scale: a single peak may reach it, a clipped wave stays there."""
    full = np.abs(sound.samples) >= FULL_SCALE
    if full.size < _MIN_CLIPPED_SAMPLES:
        return 0.0
    runs = np.convolve(full, np.ones(_MIN_CLIPPED_SAMPLES), mode="valid") >= _MIN_CLIPPED_SAMPLES
    return float(runs.mean())


def _flatness(frames: NDArray[np.float32]) -> float:
    """Spectral flatness (Johnston, Transform coding using perceptual noise criteria, 1988): 0 tonal, near 1 noise."""
    if not len(frames):
        return 0.0
    sample = frames[:: max(1, len(frames) // _MAX_FRAMES)]
    width = min(_FFT_SAMPLES, sample.shape[1])
    power = np.abs(np.fft.rfft(sample[:, :width] * np.hanning(width), axis=1)) ** 2 + _MIN_AMPLITUDE**2
    geometric = np.exp(np.log(power).mean(axis=1))
    return float(np.median(geometric / power.mean(axis=1)))


def _clarity(levels: Levels) -> Iterator[Measurement]:
    evidence = f"{levels.clipped:.2%} of the samples are cut at full scale"
    message = "The recording is overdriven; lower its level."
    yield measurement(
        Dimension.CLARITY,
        linear_score(levels.clipped, 0.01, 0.0005),
        evidence,
        FeedbackCode.CLIPPED_AUDIO,
        message,
        hint={"peak_dbfs": -3},
    )
    loudness = float(np.median(levels.frames[levels.loud]))
    message = f"The recording is very quiet ({loudness:.0f} dBFS); raise its level."
    yield measurement(
        Dimension.CLARITY,
        linear_score(loudness, -48, -36),
        f"loudness {loudness:.0f} dBFS",
        FeedbackCode.TOO_QUIET,
        message,
        hint={"target_dbfs": -20},
    )
    evidence = f"spectral flatness {levels.flatness:.2f}"
    message = "The recording is noise; produce it again."
    yield measurement(Dimension.CLARITY, linear_score(levels.flatness, 0.5, 0.3), evidence, FeedbackCode.NOISE, message)


def _length(sound: Sound, context: EvaluationContext) -> Iterator[Measurement]:
    """Measures the length against the words to be spoken; returns nothing without them."""
    expected_words = words(context.request)
    if len(expected_words) < _MIN_WORDS or max(map(len, expected_words)) > _MAX_WORD_LENGTH:
        return
    pace = len(expected_words) / max(sound.seconds, FRAME_S)
    expected = len(expected_words) / WORDS_PER_SECOND
    evidence = f"{sound.seconds:.1f} s for {len(expected_words)} words, about {expected:.0f} s are usual"
    if pace > WORDS_PER_SECOND:
        message = f"The recording is too short for its text ({evidence}); speak all of it."
        score, code = linear_score(pace, 8.0, 4.5), FeedbackCode.TOO_SHORT
    else:
        message = f"The recording is too long for its text ({evidence}); say nothing else, and pause less."
        score, code = linear_score(pace, 0.3, 1.0), FeedbackCode.TOO_LONG
    yield measurement(
        Dimension.RELEVANCE, score, evidence, code, message, hint={"expected_seconds": round(expected, 1)}
    )


def _pauses(levels: Levels) -> Iterator[Measurement]:
    quiet = float((~levels.loud).mean())
    longest = _longest_pause(levels.loud) * FRAME_S
    evidence = f"{quiet:.0%} silence, longest pause {longest:.1f} s"
    message = f"The recording has long silence ({evidence}); trim it."
    score = min(linear_score(quiet, 0.85, 0.5), linear_score(longest, 8.0, 2.5))
    yield measurement(Dimension.AESTHETIC, score, evidence, FeedbackCode.SILENT, message)


def _longest_pause(loud: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([True], loud, [True])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0
