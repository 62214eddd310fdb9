"""The statistics of `make bench`, and how figures are shown. How fast anything is, no test says."""

from __future__ import annotations

import io
import json
import math

import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.bench.figures import Figure, bucket_percentile, latencies, percentile
from tests.bench.load import closed_loop, open_loop
from tests.bench.probes import histogram
from tests.bench.report import document, number, table

EXPOSITION = """
# HELP work_seconds Time.
# TYPE work_seconds histogram
work_seconds_bucket{kind="a",place="x",le="0.001"} 2.0
work_seconds_bucket{kind="a",place="x",le="0.002"} 4.0
work_seconds_bucket{kind="a",place="x",le="+Inf"} 4.0
work_seconds_count{kind="a",place="x"} 4.0
work_seconds_sum{kind="a",place="x"} 0.004
work_seconds_bucket{kind="b",place="x",le="0.001"} 7.0
work_seconds_bucket{kind="b",place="x",le="+Inf"} 7.0
work_seconds_count{kind="b",place="x"} 7.0
work_seconds_sum{kind="b",place="x"} 0.001
"""


async def answered() -> object:
    return None


async def refused() -> object:
    nothing = grpc.aio.Metadata()
    raise grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, nothing, nothing)


@given(st.lists(st.floats(0, 1000), min_size=1), st.sampled_from((0.01, 0.5, 0.95, 0.99, 1.0)))
def test_a_percentile_is_a_sample_that_so_many_do_not_pass(samples: list[float], share: float) -> None:
    found = percentile(samples, share)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= share * len(samples)


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


def test_a_percentile_by_buckets_lies_in_proportion_within_its_bucket() -> None:
    assert bucket_percentile({1.0: 10, 2.0: 20, math.inf: 20}, 0.75) == pytest.approx(1.5)


def test_a_percentile_beyond_the_last_bound_is_that_bound() -> None:
    assert bucket_percentile({1.0: 10, math.inf: 20}, 0.95) == 1.0


def test_an_empty_histogram_has_no_time() -> None:
    assert bucket_percentile({}, 0.5) == 0.0


def test_a_histogram_is_read_by_its_labels_and_subtracted() -> None:
    both, one = (
        histogram(EXPOSITION, "work_seconds", {"place": "x"}),
        histogram(EXPOSITION, "work_seconds", {"kind": "b"}),
    )
    rest = both.since(one)
    assert (both.count, rest.count, rest.mean) == (11, 4, pytest.approx(0.001))


def test_latencies_stand_beside_the_same_percentile_of_the_yardstick() -> None:
    figures = latencies("part", "work", [0.004] * 10, [0.002] * 10, {0.95: "< 5"})
    assert [(figure.value, figure.echo) for figure in figures] == [(pytest.approx(4.0), 2.0)] * 3
    assert [figure.goal for figure in figures] == ["", "< 5", ""]


async def test_an_open_loop_makes_every_call_and_counts_failures_by_code() -> None:
    load = await open_loop([answered, refused], rate=1000, seconds=0.02)
    assert (len(load.latencies), load.failures) == (10, {"RESOURCE_EXHAUSTED": 10})


async def test_a_closed_loop_counts_what_was_answered() -> None:
    calls = 0

    async def counted() -> object:
        nonlocal calls
        calls += 1
        return await answered()

    load = await closed_loop([counted, counted], seconds=0.01)
    assert len(load.latencies) == calls > 0
    assert load.rate == calls / load.seconds


def test_the_table_names_every_figure_and_each_part_once() -> None:
    figures = [Figure("edge", "one", 1.0, "ms", 2.0, "bare", 0.5, "< 5"), Figure("edge", "two", 1234.5, "1/s")]
    out = io.StringIO()
    Console(file=out, width=120).print(table(figures))
    text = out.getvalue()
    assert all(word in text for word in ("one", "two", "2.00", "0.50", "bare", "< 5", "1,234"))
    assert text.count("edge") == 1


def test_the_document_is_json_with_where_the_figures_come_from() -> None:
    made = document([Figure("edge", "one", 1.0, "ms")], {"cores": 2}, {"cores": 2})
    read = json.loads(json.dumps(made))
    assert read["environment"]["before"] == {"cores": 2}
    assert read["figures"][0]["echo"] is None


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (0.123, "0.12"), (12.34, "12.3"), (12345.6, "12,346")])
def test_numbers_are_shown_as_exactly_as_they_are_known(value: float | None, shown: str) -> None:
    assert number(value) == shown
