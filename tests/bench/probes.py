"""Looks at a process from outside: processor time, memory, and what it says of itself."""

from __future__ import annotations

import os
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from tests.bench.figures import bucket_percentile

if TYPE_CHECKING:
    from collections.abc import Mapping

_TICKS = os.sysconf("SC_CLK_TCK")
_FORGET_PEAK = "5"


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int, line: str = "VmRSS") -> float:
    """A line of the process's status in MiB: VmRSS is what is resident, VmHWM the most that ever was."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(found for found in status if found.startswith(line)).split()[1]) / 1024


def forget_peak(pid: int) -> None:
    """Starts VmHWM anew at what is resident."""
    Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK)


@dataclass(frozen=True)
class Histogram:
    """A cumulative histogram: upper bound in seconds → count."""

    buckets: Mapping[float, float] = field(default_factory=dict)
    total: float = 0.0

    @property
    def count(self) -> float:
        """Observations."""
        return max(self.buckets.values(), default=0.0)

    @property
    def mean(self) -> float:
        """Mean in seconds, 0 without observations."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """Percentile in seconds, as exact as the buckets are."""
        return bucket_percentile(self.buckets, share)

    def since(self, earlier: Histogram) -> Histogram:
        """What was observed after the earlier reading."""
        buckets = {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in self.buckets.items()}
        return Histogram(buckets, self.total - earlier.total)


def histogram(text: str, name: str, labels: Mapping[str, str]) -> Histogram:
    """The histogram of an exposition, summed over every series that has these labels."""
    buckets: dict[float, float] = {}
    total = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == name else ():
            if not labels.items() <= sample.labels.items():
                continue
            if sample.name == f"{name}_bucket":
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
            elif sample.name == f"{name}_sum":
                total += sample.value
    return Histogram(buckets, total)


def exposition(port: int) -> str:
    """What a process exposes on its metrics port."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text
