"""Points in time as people write them, and as a terminal shows them: local, the zone said."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse(text: str, now: datetime, *, end: bool = False) -> int:
    """`2h`, `2026-11-21`, `2026-11-21T14:00[:05][+01:00|Z]` or `14:00` -> ns since the epoch.

    A date alone is its first moment, or with `end` its last. Without a zone it is local time.
    Raises ValueError with one line.
    """
    text = text.strip()
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return _ns(now - timedelta(seconds=int(ago[1]) * _UNIT_S[ago[2]]))
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
            text = f"{now.astimezone().date().isoformat()}T{text:0>5}"
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = datetime.fromisoformat(text)
            # The next day is found before the zone is: a day may have 23 or 25 hours.
            return _ns((day + timedelta(days=1)).astimezone()) - 1 if end else _ns(day.astimezone())
        return _ns(datetime.fromisoformat(text).astimezone())
    except (ValueError, OverflowError):
        line = f"{text!r} is no time: write 2h, 14:00, 2026-11-21 or 2026-11-21T14:00"
        raise ValueError(line) from None


def show(time_ns: int) -> str:
    """`2026-11-21 14:02:11.123` in local time."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % 10**9 // 10**6:03d}"


def zone(time_ns: int) -> str:
    """`UTC+01:00`: the offset that show() uses at this time."""
    moment = datetime.fromtimestamp(time_ns // 10**9, UTC).astimezone()
    offset = f"{moment:%z}"
    return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 10**6) * 10**3
