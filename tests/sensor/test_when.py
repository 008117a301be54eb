"""Points in time as people write them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sensor import when

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp()) * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", utc("2026-11-21T13:30:00")),
        ("90s", utc("2026-11-21T15:28:30")),
        ("3d", utc("2026-11-18T15:30:00")),
        ("2026-11-21", utc("2026-11-20T23:00:00")),
        ("2026-07-01", utc("2026-06-30T22:00:00")),  # summer time
        ("2026-11-21T14:00", utc("2026-11-21T13:00:00")),
        ("2026-11-21 14:00:05", utc("2026-11-21T13:00:05")),
        ("2026-11-21T14:00Z", utc("2026-11-21T14:00:00")),
        ("2026-11-21T14:00+05:30", utc("2026-11-21T08:30:00")),
        ("14:00", utc("2026-11-21T13:00:00")),
        ("9:05", utc("2026-11-21T08:05:00")),
        (" 2h ", utc("2026-11-21T13:30:00")),
    ],
)
def test_a_time_is_understood(text: str, expected: int) -> None:
    assert when.parse(text, NOW) == expected


def test_a_date_as_an_end_is_its_last_moment() -> None:
    assert when.parse("2026-11-21", NOW, end=True) == utc("2026-11-21T23:00:00") - 1
    # the day that summer time ends has 25 hours
    last = when.parse("2026-10-25", NOW, end=True) - when.parse("2026-10-25", NOW)
    assert last == 25 * 3600 * 10**9 - 1


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2 fortnights", "2026-13-01", "25:00", "99999999999d", "1.5h", "-2h"]
)
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: write 2h, 14:00, 2026-11-21"):
        when.parse(text, NOW)


def test_a_time_is_shown_in_local_time_with_its_zone() -> None:
    time_ns = utc("2026-11-21T13:02:11") + 123_999_999
    assert when.show(time_ns) == "2026-11-21 14:02:11.123"
    assert when.zone(time_ns) == "UTC+01:00"
    assert when.zone(utc("2026-07-01T00:00:00")) == "UTC+02:00"
