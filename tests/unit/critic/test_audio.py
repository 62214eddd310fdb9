"""Reading WAV files and measuring what is in them."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_critic.adapters.heuristics.audio import measure_levels
from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.adapters.heuristics.wav import Sound, read_wav

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def riff(tag: int, bits: int, data: bytes, channels: int = 1) -> bytes:
    header = struct.pack("<HHIIHH", tag, channels, RATE, RATE * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def of(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Sound:
    return Sound(samples.astype(np.float32), RATE)


@pytest.mark.parametrize(
    ("tag", "bits", "data"),
    [
        (1, 8, (TONE * 127 + 128).astype(np.uint8).tobytes()),
        (1, 16, (TONE * 32_767).astype("<i2").tobytes()),
        (1, 24, b"".join(struct.pack("<i", int(v * 2**31))[1:] for v in TONE)),
        (1, 32, (TONE * (2**31 - 1)).astype("<i4").tobytes()),
        (3, 32, TONE.astype("<f4").tobytes()),
        (3, 64, TONE.astype("<f8").tobytes()),
    ],
)
def test_every_usual_kind_of_samples_is_read(tag: int, bits: int, data: bytes) -> None:
    sound = read_wav(riff(tag, bits, data))
    assert sound.seconds == 1.0
    assert np.abs(sound.samples - TONE).max() < 0.015


def test_channels_are_mixed() -> None:
    both = np.stack([TONE, -TONE], axis=1)
    sound = read_wav(riff(1, 16, (both * 32_767).astype("<i2").tobytes(), channels=2))
    assert np.abs(sound.samples).max() < 0.001


def test_the_standard_library_agrees() -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((TONE * 32_767).astype("<i2").tobytes())
    assert read_wav(out.getvalue()).samples.size == RATE


@given(st.binary(max_size=200))
def test_garbage_is_told_and_never_crashes(content: bytes) -> None:
    for data in (content, b"RIFF\0\0\0\0WAVE" + content, riff(1, 16, b"")[:-8] + content):
        try:
            read_wav(data)
        except UndecodableError:
            continue


def test_silence_is_measured() -> None:
    assert not measure_levels(of(TONE * 0)).loud.any()


def test_a_cut_wave_is_clipped_and_a_touching_peak_is_not() -> None:
    assert measure_levels(of(np.clip(TONE * 8, -1, 1))).clipped > 0.3
    assert measure_levels(of(TONE * 1.97)).clipped == 0


def test_noise_is_flat_and_tones_are_not() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, RATE)
    assert measure_levels(of(noise)).flatness > 0.45
    assert measure_levels(of(TONE)).flatness < 0.1


def test_loudness_is_in_decibels_of_full_scale() -> None:
    frames = measure_levels(of(TONE)).frames
    assert float(np.median(frames)) == pytest.approx(-9.03, abs=0.2)
