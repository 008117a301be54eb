"""Records to export: every kind, full and bare, with texts that formats trip over."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from exporters.formats.format import Format
from sensor.records import (
    Candidate,
    Chain,
    Client,
    Endpoint,
    Evidence,
    FlowRef,
    Hop,
    ObjectRef,
    Operation,
    Record,
    SensorRef,
    as_dict,
    new_id,
)

NAMES = (
    "bob", "Zoë Ünal", 'o"neil', "dom\\alice", "tab\there", "line\nbreak", "日本語", "🐙",
    "a|b=c]d",
)  # fmt: skip
START_NS = 1_795_290_000_123_456_789

# The tree as it is, until the registry of formats is needed.
HOP = Format(name="hop", render=dict)


def _records() -> Iterator[Record]:
    number = 0
    while True:
        ts = START_NS + number * 1_000_003
        name = NAMES[number % len(NAMES)]
        identity = new_id(ts)
        if number % 5 == 4:
            yield Record(kind="gap", ts=ts, id=identity, gap_bytes=number + 1, reason="unseen")
        else:
            yield _full(number, ts, name, identity)
        number += 1


def _full(number: int, ts: int, name: str, identity: str) -> Record:
    kinds = ("action", "login", "alert", "chain")
    return Record(
        kind=kinds[number % 4],
        ts=ts,
        ts_end=ts + 2_000_000,
        id=identity,
        chain=Chain(new_id(ts), f"VCD:{name}:VC:svc", (name, "svc"), ("VCD", "VC"), 2),
        hop=Hop(
            1, 2, "VC", "svc", "correlated", 0.75, parent_id=new_id(ts),
            candidates=(Candidate(new_id(ts), name, f"VCD:{name}", 0.5),),
            evidence=(Evidence("task", "task-1"),),
        ),
        source=Endpoint("10.1.2.3", 40000 + number % 20000, "VCD", name, "b2s:00ff"),
        to=Endpoint("10.1.2.4", 443, "VC", "svc", "", "vc1.example.org"),
        op=Operation("Destroy_Task", "vim25 8.0.3.0", "delete", f"op-{number}"),
        target=ObjectRef("VirtualMachine", f"vm-{number}", name * 3),
        outcome="success",
        flow=FlowRef("tcp", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "C41VDS1ZgdLiALakL4", 0),
        client=Client("VI Perl"),
        sensor=SensorRef("site-1", "eth1", "0.1.0"),
        extra={"number": str(number)},
    )  # fmt: skip


def trees(count: int) -> list[dict[str, Any]]:
    return [as_dict(record) for record in islice(_records(), count)]


def as_javascript(value: Any) -> Any:
    """Numbers of 64 bits as a double has them."""
    if isinstance(value, dict):
        return {name: as_javascript(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_javascript(each) for each in value]
    return int(float(value)) if isinstance(value, int) and value > 1 << 53 else value
