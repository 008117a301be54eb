"""`hoptap demo`: replays the capture that comes with hoptap and shows who did what, by person."""

from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files

from sensor import app, hashing
from sensor.exits import Exit, InputError
from sensor.metrics import Metrics
from sensor.records import Record, as_dict
from sensor.report import Body
from sensor.settings import Settings
from sensor.terminal import say
from sensor.version import version
from sensor.who import report

CAPTURE = "demo/chain.pcap.gz"
UNDECIDED = "not decided: the evidence fits more than one person"


def show(width: int | None) -> Exit:
    """Raises InputError when the capture did not come along."""
    records: list[Record] = []
    resource = files("sensor").joinpath(CAPTURE)
    if not resource.is_file():
        raise InputError(f"sensor/{CAPTURE} is missing from this installation")
    with as_file(resource) as path:
        inputs = app.Inputs(files=(str(path),))
        sensor = app.assemble(Settings(), hashing.run_hasher(), inputs, Metrics(version()))
        app.drive(sensor, records.extend, lambda: None)
    packets = sensor.counted("packets")
    say(_lines(records, packets, width))
    return Exit.OK


def _lines(records: Sequence[Record], packets: int, width: int | None) -> Iterator[str]:
    bodies = _latest(records)
    groups: dict[str, list[Body]] = {}
    for body in _effects(bodies):
        groups.setdefault(person_of(body), []).append(body)
    yield f"{packets:,} packets gave {len(bodies)} records; the last effect of each action:"
    for person in sorted(groups, key=lambda name: (name == UNDECIDED, name)):
        yield ""
        yield person
        yield from (f"  {line}" for line in report(groups[person], width and width - 2))
    yield ""
    yield "hoptap replay FILE does this with your capture; hoptap run -i IF with live traffic."


def person_of(body: Body) -> str:
    """Who stands at the head of the record's chain."""
    chain = body.get("chain", {})
    users, services = chain.get("users", ()), chain.get("services", ())
    if body.get("hop", {}).get("cause") == "ambiguous":
        return UNDECIDED
    if not users:
        return "unknown"
    return f"{users[0] or '?'} at {services[0] if services else '?'}"


def _effects(bodies: Sequence[Body]) -> Iterator[Body]:
    """Actions that caused no further action: the lower ends of the chains."""
    causes = {body.get("hop", {}).get("parent_id") for body in bodies}
    for body in bodies:
        # A chain record is an action amended; both are called by the id of the action.
        if body["kind"] in ("action", "chain") and body["chain"]["id"] not in causes:
            yield body


def _latest(records: Sequence[Record]) -> list[Body]:
    """In order of time; of a record that was amended, the last word."""
    last = {record.amends or record.id: record for record in records}
    return [as_dict(record) for record in sorted(last.values(), key=lambda record: record.ts)]
