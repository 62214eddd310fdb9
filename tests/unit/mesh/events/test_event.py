"""How an event travels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mesh.events.event import LONGEST_ID, Codec, Event
from soma.events.v1.envelope_pb2 import Envelope

CODEC = Codec()
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
TEXT = st.text(max_size=20).map(lambda text: text.replace("\0", ""))


@given(
    texts=st.lists(TEXT, min_size=6, max_size=6),
    when=st.datetimes(datetime(1900, 1, 1), datetime(2500, 1, 1)),  # noqa: DTZ001 - the zone follows
    payload=st.binary(max_size=50),
    hours=st.integers(-12, 12),
)
def test_an_event_comes_out_as_it_went_in(texts: list[str], when: datetime, payload: bytes, hours: int) -> None:
    tenant, causation, correlation, trace, group, letter = texts
    moment = when.replace(tzinfo=timezone(timedelta(hours=hours)))
    event = Event(
        "id", "type", "topic", "key", tenant, moment, payload, 7, causation, correlation, trace, group, letter
    )
    assert CODEC.decode(CODEC.encode(event)) == event


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(event_id="", type="t", topic="t", key="k"),
        Envelope(event_id="e", type="t", topic="t", key=""),
        Envelope(event_id="e" * (LONGEST_ID + 1), type="t", topic="t", key="k"),
        Envelope(event_id="e", type="t", topic="t", key="k\0"),
        Envelope(event_id="e", type="t", topic="t", key="k", occur_time=Timestamp(seconds=2**62)),
    ],
    ids=["no id", "no key", "long id", "no text", "no time"],
)
def test_an_envelope_that_could_not_be_kept_is_no_event(envelope: Envelope) -> None:
    with pytest.raises(ValueError, match=r"event"):
        CODEC.decode(envelope.SerializeToString())


def test_bytes_that_are_no_envelope_are_no_event() -> None:
    with pytest.raises(ValueError, match="envelope"):
        CODEC.decode(b"\xff\xff")


def test_an_event_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="topic"):
        Event("id", "type", "", "key", "", WHEN, b"")
