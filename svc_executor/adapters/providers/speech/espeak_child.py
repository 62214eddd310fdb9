"""Speaks one text with eSpeak NG: reads a JSON request on standard input, writes 16-bit mono PCM to standard output.

Runs by itself, since the library keeps one voice for its whole process, and so that its crash is no crash of ours. The
first line of the output is the sample rate.
"""

from __future__ import annotations

import ctypes
import json
import sys

_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
UNKNOWN_VOICE = 3


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


if __name__ == "__main__":
    sample_rate, pcm = speak(sys.argv[1], sys.argv[2], json.load(sys.stdin))
    sys.stdout.buffer.write(f"{sample_rate}\n".encode() + pcm)
