"""Speaks one text with eSpeak NG: reads a JSON request on standard input, writes a WAV file to standard output.

Runs by itself, since the library keeps one voice for its whole process, and so that its crash is no crash of ours. The
first line of the output holds the sample rate and the length in seconds.
"""

from __future__ import annotations

import array
import ctypes
import io
import json
import sys
import wave

_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
UNKNOWN_VOICE = 3
SILENCE = 4
_PEAK = 0.89 * 32767  # one decibel below full scale
_SILENCE_S = 0.25


def speak(library: str, data: str, request: dict[str, object]) -> tuple[int, bytes]:
    """Give sample rate and samples; exit with UNKNOWN_VOICE when there is no such voice."""
    espeak = ctypes.CDLL(library)
    rate = espeak.espeak_Initialize(_SYNCHRONOUS, 500, data.encode(), 0)
    if rate <= 0:
        sys.exit("the voices could not be loaded")
    if espeak.espeak_SetVoiceByName(str(request["voice"]).encode()) != 0:
        sys.exit(UNKNOWN_VOICE)
    for parameter, name in ((_RATE, "rate_wpm"), (_PITCH, "pitch"), (_VOLUME, "volume")):
        espeak.espeak_SetParameter(parameter, int(str(request[name])), 0)
    samples = bytearray()

    def take(wave: object, count: int, _events: object) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, count * 2))  # type: ignore[arg-type]
        return 0

    callback = _CALLBACK(take)
    espeak.espeak_SetSynthCallback(callback)
    text = str(request["text"]).encode() + b"\0"
    espeak.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
    espeak.espeak_Synchronize()
    espeak.espeak_Terminate()
    return rate, bytes(samples)


def wav(rate: int, pcm: bytes) -> tuple[bytes, float]:
    """Give a WAV of even loudness with a breath of silence at both ends, and its length in seconds."""
    samples = array.array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    peak = max((abs(sample) for sample in samples), default=0)
    factor = _PEAK / peak if peak else 1.0
    loud = array.array("h", (round(sample * factor) for sample in samples))
    if sys.byteorder == "big":
        loud.byteswap()
    silence = bytes(2 * int(rate * _SILENCE_S))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(silence + loud.tobytes() + silence)
    return out.getvalue(), len(samples) / rate + 2 * _SILENCE_S


if __name__ == "__main__":
    sample_rate, pcm = speak(sys.argv[1], sys.argv[2], json.load(sys.stdin))
    if not pcm:
        sys.exit(SILENCE)
    file, length_s = wav(sample_rate, pcm)
    sys.stdout.buffer.write(f"{sample_rate} {length_s}\n".encode() + file)
