"""Times of packets as the dialects write them; no clock is read here."""

from datetime import UTC, datetime
from functools import lru_cache

SECOND_NS = 10**9
_LAST_S = 253_402_300_799  # 9999-12-31T23:59:59Z; a damaged capture may say later


def iso(time_ns: int) -> str:
    """RFC 3339 in UTC, to the nanosecond."""
    seconds, rest_ns = divmod(time_ns, SECOND_NS)
    return f"{_second(seconds)}.{rest_ns:09d}Z"


def iso_micro(time_ns: int, zone: str = "Z") -> str:
    """The same to the microsecond, the most that many readers take."""
    seconds, rest_ns = divmod(time_ns, SECOND_NS)
    return f"{_second(seconds)}.{rest_ns // 1000:06d}{zone}"


def epoch(time_ns: int) -> str:
    """Seconds since 1970 with microseconds."""
    seconds, rest_ns = divmod(time_ns, SECOND_NS)
    return f"{seconds}.{rest_ns // 1000:06d}"


def milliseconds(time_ns: int) -> int:
    return time_ns // 1_000_000


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    moment = datetime.fromtimestamp(min(max(seconds, 0), _LAST_S), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
