"""Records by the ten thousand, made cheaply: each with an id, a user and an object of its own."""

from dataclasses import replace
from functools import cache
from typing import Any

from sensor.records import (
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
)

MANY = 50_000
STEP_NS = 1_000_003
# What a format may get wrong, in turn; none has a control character, which no syslog may carry.
NAMES = (
    "bob", 'Bob]"\\', "zoë", "名前", "😀 smile", "acme\\bob", "a=b c", "o'neil; drop", "[x][y]",
    "%s%n", "{json}", "tab-less", "\\]", '\\"', "\u00a0", "e\u0301",
)  # fmt: skip


def many(count: int = MANY) -> list[dict[str, Any]]:
    """`count` records as trees; the n-th has n in its id, time, user and object."""
    templates = [as_dict(_record(name)) for name in NAMES]
    return [_numbered(templates[number % len(templates)], number) for number in range(count)]


def as_records(first: int, end: int) -> list[Record]:
    """Those of these numbers as the sensor has them."""
    return [_numbered_record(number) for number in range(first, end)]


def identity(number: int) -> str:
    return f"0199e0f4-7d3b-7c1a-8000-{number:012x}"


def _numbered(template: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        **template,
        "ts": template["ts"] + number * STEP_NS,
        "id": identity(number),
        "to": {**template["to"], "user": f"{template['to']['user']}{number}"},
        "target": {**template["target"], "id": f"vm-{number}"},
    }


def _numbered_record(number: int) -> Record:
    template = _record(NAMES[number % len(NAMES)])
    return replace(
        template,
        ts=template.ts + number * STEP_NS,
        id=identity(number),
        to=replace(template.to, user=f"{template.to.user}{number}"),
        target=replace(template.target, id=f"vm-{number}"),
    )


@cache
def _record(name: str) -> Record:
    return Record(
        kind="action",
        ts=1_795_291_698_936_416_000,
        ts_end=1_795_291_698_941_720_000,
        id="0199",
        chain=Chain(
            "0199e0f4", f"VCD:{name}:VC:vCloudService", (name, "vCloudService"), ("VCD", "VC"), 2
        ),
        hop=Hop(
            index=1,
            count=2,
            service="VC",
            user="vCloudService",
            cause="correlated",
            confidence=0.93,
            parent_id="0199e0f4-parent",
            evidence=(Evidence("operation_id", "kq8abc1f-12345-auto-9ix-h5:70000001", "proved"),),
        ),
        source=Endpoint(ip="10.77.1.11", port=41830, service="VCD"),
        to=Endpoint(ip="10.77.3.10", port=443, service="VC", user=name),
        op=Operation("Destroy_Task", "vim25 8.0.3.0", "delete", "703c346e-60b8-0008"),
        target=ObjectRef("VirtualMachine", "vm-39", f"web {name}"),
        outcome="success",
        flow=FlowRef("tcp", "1:ysp/5CQWExMkXZ6sTN/Lr5Wg/yg=", "CNhVCLP22QpGCOXlPw"),
        client=Client("pyvmomi 9.1.1.0 OSS Python/3.11.7 (Linux; x86_64)"),
        sensor=SensorRef("sensor-1", "span0", "1.0"),
    )
