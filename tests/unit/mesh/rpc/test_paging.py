"""Page tokens: where a page ended, and for which filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.rpc.paging import cursor_of, cursor_token, page_size, time_cursor_of, time_cursor_token
from soma.gateway.v1.identity_service_pb2 import ListTenantsRequest
from soma.provenance.v1.dead_letter_service_pb2 import ListDeadLettersRequest

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ID = "01900000-aaaa-7000-8000-000000000000"


def asked(token: str = "", **filters: str) -> ListDeadLettersRequest:
    return ListDeadLettersRequest(page_token=token, page_size=3, **filters)


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_mark_comes_back_as_it_went(moment: datetime, id_: object) -> None:
    assert time_cursor_of(asked(time_cursor_token(asked(), moment, str(id_)))) == (moment, str(id_))


def test_the_first_page_has_no_mark() -> None:
    assert (cursor_of(asked()), time_cursor_of(asked())) == ("", None)


def test_the_size_of_a_page_may_change() -> None:
    token = cursor_token(ListDeadLettersRequest(page_size=100), "7")
    assert cursor_of(asked(token)) == "7"


def test_a_token_is_good_for_its_filters_alone() -> None:
    token = time_cursor_token(asked(topic="a"), NOW, ID)
    with pytest.raises(SomaError) as refused:
        time_cursor_of(asked(token, topic="b"))
    assert "filters" in refused.value.fields[0].description


def test_a_token_is_good_for_its_list_alone() -> None:
    token = cursor_token(ListDeadLettersRequest(), "7")
    with pytest.raises(SomaError) as refused:
        cursor_of(ListTenantsRequest(page_token=token))
    assert refused.value.fields[0].field == "page_token"


@pytest.mark.parametrize("place", ["x", "1", "1.x", f"{10**30}.{ID}", f"x.{ID}"])
def test_what_is_no_mark_is_refused(place: str) -> None:
    with pytest.raises(SomaError) as refused:
        time_cursor_of(asked(cursor_token(asked(), place)))
    assert (refused.value.reason, refused.value.fields[0].field) == (Reason.INVALID_ARGUMENT, "page_token")


@pytest.mark.parametrize("token", ["x", ".", "..", "1.2.3"])
def test_what_was_not_made_here_is_refused(token: str) -> None:
    with pytest.raises(SomaError) as refused:
        time_cursor_of(asked(token))
    assert (refused.value.reason, refused.value.fields[0].field) == (Reason.INVALID_ARGUMENT, "page_token")


def test_marks_are_true_to_the_microsecond() -> None:
    later = NOW + timedelta(microseconds=1)
    assert time_cursor_of(asked(time_cursor_token(asked(), later, ID))) == (later, ID)


def test_who_asks_for_no_number_gets_fifty_entries() -> None:
    assert page_size(ListTenantsRequest()) == 50
    assert page_size(ListTenantsRequest(page_size=7)) == 7
