"""Records to export as trees: of every kind, some bare, with texts that formats trip over."""

from typing import Any

from exporters.formats.format import Format
from sensor.records import Record, as_dict, new_id
from tests.records import NAMES, START_NS, STEP_NS, numbered

KINDS = ("action", "login", "alert", "chain")
TEXTS = (*NAMES, "tab\there", "line\nbreak")

# The tree as it is, until the registry of formats is needed.
HOP = Format(name="hop", render=dict)


def trees(count: int) -> list[dict[str, Any]]:
    return [as_dict(_record(number)) for number in range(count)]


def _record(number: int) -> Record:
    ts = START_NS + number * STEP_NS
    identity = new_id(ts)  # those of another call are others
    if number % 5 == 4:
        return Record(kind="gap", ts=ts, id=identity, gap_bytes=number + 1, reason="unseen")
    name, extra = TEXTS[number % len(TEXTS)], {"number": str(number)}
    return numbered(number, name, kind=KINDS[number % 4], id=identity, extra=extra)


def as_javascript(value: Any) -> Any:
    """Numbers of 64 bits as a double has them."""
    if isinstance(value, dict):
        return {name: as_javascript(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_javascript(each) for each in value]
    return int(float(value)) if isinstance(value, int) and value > 1 << 53 else value
