"""WAV (RIFF) files."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from svc_critic.adapters.heuristics.decoding import UndecodableError

if TYPE_CHECKING:
    from svc_critic.adapters.heuristics.decoding import Plane

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_HEADER = struct.Struct("<HHIIHH")
_CHUNK = struct.Struct("<4sI")
_SUBFORMAT_OFFSET = 24
_MAX_CHANNELS = 64


@dataclass(frozen=True)
class Sound:
    """Samples in [-1, 1], channels mixed; `rate` in samples a second."""

    samples: Plane
    rate: int

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.samples.size / self.rate


@dataclass(frozen=True)
class _Format:
    tag: int
    channels: int
    rate: int
    bits: int


def read_wav(content: bytes) -> Sound:
    """Returns the sound of a WAV file in PCM of 8 to 32 bits or in floats; raises UndecodableError with the reason."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise UndecodableError("the sound is no WAV file")
    layout: _Format | None = None
    offset = 12
    while offset + _CHUNK.size <= len(content):
        name, size = _CHUNK.unpack_from(content, offset)
        body = content[offset + _CHUNK.size : offset + _CHUNK.size + size]
        if name == b"fmt ":
            layout = _format(body)
        elif name == b"data":
            if layout is None:
                break
            return Sound(_samples(body, layout), layout.rate)
        offset += _CHUNK.size + size + size % 2
    raise UndecodableError("the WAV file has no format or no sound in it")


def _format(body: bytes) -> _Format:
    if len(body) < _HEADER.size:
        raise UndecodableError("the WAV file's format is cut off")
    tag, channels, rate, _, _, bits = _HEADER.unpack_from(body)
    if tag == _EXTENSIBLE and len(body) >= _SUBFORMAT_OFFSET + 2:
        tag = struct.unpack_from("<H", body, _SUBFORMAT_OFFSET)[0]
    if not 0 < channels <= _MAX_CHANNELS or not rate:
        raise UndecodableError("the WAV file names no channels or no rate")
    return _Format(tag, channels, rate, bits)


def _samples(body: bytes, layout: _Format) -> Plane:
    width = layout.bits // 8
    frame = width * layout.channels
    if not frame or len(body) < frame:
        raise UndecodableError("the WAV file has no sound in it")
    raw = body[: len(body) // frame * frame]
    flat = _scaled(raw, layout)
    return np.asarray(flat.reshape(-1, layout.channels).mean(axis=1), dtype=np.float32)


def _scaled(raw: bytes, layout: _Format) -> Plane:
    kind = (layout.tag, layout.bits)
    if kind == (_PCM, 8):
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.float32) - np.float32(128)) * np.float32(2**-7)
    if kind == (_PCM, 16):
        return np.frombuffer(raw, dtype="<i2").astype(np.float32) * np.float32(2**-15)
    if kind == (_PCM, 24):
        parts = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3)
        padded = np.zeros((len(parts), 4), dtype=np.uint8)
        padded[:, 1:] = parts
        return padded.view("<i4").ravel().astype(np.float32) * np.float32(2**-31)
    if kind == (_PCM, 32):
        return np.frombuffer(raw, dtype="<i4").astype(np.float32) * np.float32(2**-31)
    if kind in {(_FLOAT, 32), (_FLOAT, 64)}:
        values = np.frombuffer(raw, dtype="<f4" if layout.bits == 32 else "<f8").astype(np.float32)  # noqa: PLR2004
        return np.nan_to_num(values)
    raise UndecodableError(f"the WAV file is of a kind that is not read (format {layout.tag}, {layout.bits} bits)")
