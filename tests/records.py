"""Records that tests export: an action three levels down, others after it, and many of them."""

from dataclasses import replace
from typing import Any

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
    Tls,
    path_of,
)

START_NS = 1_795_290_000_123_456_789
STEP_NS = 1_000_003
SENSOR = SensorRef("mgmt-tap-1", "eth1", "1.2.3")
HOP = Hop(
    index=2,
    count=3,
    service="ESX",
    user="vpxuser",
    cause="explicit",
    confidence=0.99,
    parent_id="0193c1f2-7a00-7000-8000-000000000000",
    evidence=(Evidence("operation_id", "7a1c-01-e4", "asserted"),),
)
ACTION = Record(
    kind="action",
    ts=START_NS,
    ts_end=START_NS + 1_500_000,
    id="0193c1f2-7a00-7000-8000-000000000001",
    chain=Chain(
        "0193c1f2-7a00-7000-8000-000000000001",
        "VCD:bob@acme:VC:vCloudService:ESX:vpxuser",
        ("bob@acme", "vCloudService", "vpxuser"),
        ("VCD", "VC", "ESX"),
        3,
    ),
    hop=HOP,
    source=Endpoint("10.0.0.5", 51822, "VC", "vCloudService", "b2s:11aa", "vc1.example.org"),
    to=Endpoint("10.0.9.21", 443, "ESX", "vpxuser", "b2s:22bb", "esx21.example.org"),
    op=Operation("Destroy_Task", "vim25", "delete", "7a1c-01-e4"),
    target=ObjectRef("VirtualMachine", "vm-417", "web-07"),
    outcome="success",
    task="task-9",
    flow=FlowRef("tcp", "1:BcCsp+/CZlCpIiftb+oy2fi9VrY=", "CxYz1", 100, "vxlan:7"),
    tls=Tls(
        "TLS 1.3", "TLS_AES_256_GCM_SHA384", sni="esx21", ja3="0" * 32, ja4="t13", resumed=True
    ),
    client=Client("VMware-client/8.0", "192.0.2.9, 10.0.0.5"),
    sensor=SENSOR,
)

# What a format may get wrong, in turn; none has a control character, which no syslog may carry.
NAMES = (
    "bob", 'Bob]"\\', "zoë", "名前", "😀 smile", "acme\\bob", "a=b c", "o'neil; drop", "[x][y]",
    "%s%n", "{json}", "tab-less", "\\]", '\\"', "\u00a0", "e\u0301", "a|b=c]d",
)  # fmt: skip


def identity(number: int) -> str:
    return f"0193c1f2-7a00-7000-8000-{number:012x}"


def numbered(number: int, name: str = "bob@acme", **changes: Any) -> Record:
    """ACTION at a time, with an id, a task and an object of its own, by this person."""
    start_ns, name_of_it = START_NS + number * STEP_NS, identity(number)
    path = path_of([("VCD", name), ("VC", "vCloudService"), ("ESX", "vpxuser")])
    users = (name, "vCloudService", "vpxuser")
    ways = (
        Candidate(name_of_it, name, path, 0.75),
        Candidate(identity(number + 1), "Зоя\\ops", path_of([("VCD", "Зоя\\ops")]), 0.03),
    )
    made = replace(
        ACTION,
        ts=start_ns,
        ts_end=start_ns + 2_000_000,
        id=name_of_it,
        chain=Chain(name_of_it, path, users, ("VCD", "VC", "ESX"), 3),
        hop=replace(HOP, cause="correlated", confidence=0.75, candidates=ways),
        to=replace(ACTION.to, user=f"{name}{number}"),
        target=ObjectRef("VirtualMachine", f"vm-{number}", f"web {name}"),
        task=f"task-{number}",
    )
    return replace(made, **changes)
