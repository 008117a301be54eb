"""Records by the ten thousand: each with an id, a user and an object of its own."""

from typing import Any

from sensor.records import Record, as_dict
from tests.records import HOP, NAMES, STEP_NS, identity, numbered

MANY = 50_000


def many(count: int = MANY) -> list[dict[str, Any]]:
    """`count` records as trees, made cheaply; the n-th has n in its id, time, user and object."""
    templates = [as_dict(_record(0, name)) for name in NAMES]
    return [_again(templates[number % len(templates)], number) for number in range(count)]


def as_records(first: int, end: int) -> list[Record]:
    """Those of these numbers as the sensor has them."""
    return [_record(number, NAMES[number % len(NAMES)]) for number in range(first, end)]


def _record(number: int, name: str) -> Record:
    return numbered(number, name, hop=HOP, tls=None)


def _again(template: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        **template,
        "ts": template["ts"] + number * STEP_NS,
        "id": identity(number),
        "to": {**template["to"], "user": f"{template['chain']['users'][0]}{number}"},
        "target": {**template["target"], "id": f"vm-{number}"},
        "task": f"task-{number}",
    }
