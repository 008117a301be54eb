"""Records to try every format on: real ones, and some of each kind made to be hard."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
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
    Process,
    Record,
    SensorRef,
    Tls,
    as_dict,
    path_of,
)
from tests.records import ACTION, SENSOR, START_NS

FOLDER = Path(__file__).parent
HOSTILE = 'a|b=c\\d\te\r\nf"g]h,i:j\x00k\x1b[31m\x7f\x85\u2028l\u202e\u05d0\U0001f600\udc80 '

Tree = dict[str, Any]


def captured() -> list[Tree]:
    """One of each sort that the golden captures have."""
    lines = (FOLDER / "records.ndjson").read_text().splitlines()
    return [json.loads(line) for line in lines]


EXPLICIT = ACTION
CANDIDATES = tuple(
    Candidate(
        f"0193c1f2-7a00-7000-8000-0000000000{number:02d}",
        user,
        path_of([("VCD", user), ("VC", "vCloudService"), ("ESX", "vpxuser")]),
        confidence,
    )
    for number, (user, confidence) in enumerate(
        [("bob@acme", 0.55), ("CORP\\alice", 0.24), ("carol:x", 0.17)]
    )
)
CONCEIVABLE = ("bob@acme", "CORP\\alice", "carol:x")
AMBIGUOUS = replace(
    EXPLICIT,
    id="0193c1f2-7a00-7000-8000-000000000002",
    chain=Chain(
        "0193c1f2-7a00-7000-8000-000000000002",
        "VCD:?:VC:vCloudService:ESX:vpxuser",
        ("vCloudService", "vpxuser"),
        ("VCD", "VC", "ESX"),
        3,
    ),
    hop=Hop(2, 3, "ESX", "vpxuser", "ambiguous", 0.55, candidates=CANDIDATES),
    source=Endpoint("10.0.0.5", 51822, "VC"),
)
# All ways lead to the same head: still it is not decided which way it was.
AGREED = replace(
    AMBIGUOUS,
    id="0193c1f2-7a00-7000-8000-000000000003",
    chain=Chain("c", "VCD:bob@acme:VC:?:ESX:vpxuser", ("bob@acme", "vpxuser"), ("VCD",), 3),
)
CORRELATED = replace(
    EXPLICIT,
    id="0193c1f2-7a00-7000-8000-000000000004",
    hop=Hop(2, 3, "ESX", "vpxuser", "correlated", 0.8, state="provisional"),
    visibility="tapped",
    process=Process("haproxy", 417, "0123abcd"),
)
AMENDED = replace(
    EXPLICIT,
    kind="chain",
    id="0193c1f2-7a00-7000-8000-000000000005",
    amends=EXPLICIT.id,
    reason="late_parent",
)
GAP = Record(
    kind="gap",
    ts=START_NS,
    ts_end=START_NS + 10**9,
    id="0193c1f2-7a00-7000-8000-000000000006",
    source=Endpoint("2001:db8::1", 40000),
    to=Endpoint("2001:db8::2", 443, "VC"),
    reason="bytes not captured",
    gap_bytes=4096,
    flow=FlowRef("tcp", "1:x=", "Cx"),
    sensor=SENSOR,
)
NOTICE = Record(
    kind="alert",
    ts=START_NS,
    id="0193c1f2-7a00-7000-8000-000000000007",
    source=Endpoint("10.0.0.66", 1234),
    to=Endpoint("10.0.0.5", 443, "VC"),
    op=Operation("RetrieveServiceContent", "vim25", "read"),
    reason="scanner",
    flow=FlowRef("tcp", "1:y=", "Cy"),
    sensor=SENSOR,
    extra={"record": "0193c1f2-7a00-7000-8000-000000000007", "value": "nmap: operationID 00000001"},
)
PSEUDONYM, OTHER_PSEUDONYM = "u-0123456789abcdef0123", "u-fedcba98765432100000"
PSEUDONYMOUS = replace(
    EXPLICIT,
    id="0193c1f2-7a00-7000-8000-000000000008",
    chain=Chain(
        "c",
        f"VCD:{PSEUDONYM}:ESX:{OTHER_PSEUDONYM}",
        (PSEUDONYM, OTHER_PSEUDONYM),
        ("VCD", "ESX"),
        2,
    ),
    hop=Hop(1, 2, "ESX", OTHER_PSEUDONYM, "explicit", 0.99),
    source=Endpoint("no-address", 1, "VCD", PSEUDONYM),
    to=Endpoint("fe80::1%eth0", 443, "ESX", OTHER_PSEUDONYM),
    client=Client("", "unknown"),
)
FAILED = replace(
    EXPLICIT,
    kind="login",
    id="0193c1f2-7a00-7000-8000-000000000009",
    chain=Chain("c", "VC:?", (), ("VC",), 1),
    hop=Hop(0, 1, "VC", "", "none", 0.0),
    source=Endpoint("10.0.0.7", 5),
    to=Endpoint("10.0.0.5", 443, "VC"),
    op=Operation("POST /api/session?x=y", "vsphere-rest", "login", "", "basic"),
    target=ObjectRef(),
    outcome="failure",
    fault="HTTP 401",
)
BARE = Record(kind="gap", ts=0)


def hostile(text: str) -> Record:
    """Every text that a peer can choose is this one."""
    pairs = [("VCD", text), ("VC", text), ("ESX", "vpxuser")]
    return replace(
        EXPLICIT,
        id="0193c1f2-7a00-7000-8000-00000000000a",
        chain=Chain("c", path_of(pairs), (text, "vpxuser"), ("VCD", "VC", "ESX"), 3),
        hop=Hop(2, 3, "ESX", "vpxuser", "explicit", 1.0, evidence=(Evidence("target", text),)),
        source=Endpoint("10.0.0.5", 1, "VC", text, "b2s:1", text),
        to=Endpoint("10.0.9.21", 443, "ESX", "vpxuser", "b2s:2", text),
        op=Operation(text, text, "delete", text, text),
        target=ObjectRef(text, text, text),
        fault=text,
        task=text,
        guest_user=text,
        client=Client(text, text),
        extra={text: text},
    )


def hostile_candidates(text: str) -> Record:
    ways = tuple(
        Candidate(str(number), f"{text}{number}", path_of([("VCD", text), ("ESX", "x")]), 0.3)
        for number in range(3)
    )
    return replace(AMBIGUOUS, hop=Hop(2, 3, "ESX", "vpxuser", "ambiguous", 0.3, candidates=ways))


def crafted() -> Iterator[Record]:
    yield from (EXPLICIT, AMBIGUOUS, AGREED, CORRELATED, AMENDED, GAP, NOTICE, PSEUDONYMOUS, FAILED)
    yield from (BARE, hostile(HOSTILE), hostile_candidates(HOSTILE))


def cases() -> list[Tree]:
    return captured() + [as_dict(record) for record in crafted()]


def filled() -> Tree:
    """A delegated action, all of whose fields are set, each to a text or number of its own."""
    number = 0

    def value(kind: Any) -> Any:
        nonlocal number
        number += 1
        if kind is bool:
            return True
        return f"v{number}" if kind is str else 1000 + number

    def block(sort: Any, /, **set_: Any) -> Any:
        return sort(**{each.name: value(each.type) for each in fields(sort)} | set_)

    path = path_of([("VCD", "v-head"), ("VC", "v-middle"), ("ESX", "v-tail")])
    record = block(
        Record,
        kind="action",
        ts=START_NS,
        ts_end=START_NS + 5_000_000,
        chain=block(Chain, path=path, users=("v-head",), services=("v-service",)),
        hop=block(
            Hop,
            cause="explicit",
            confidence=0.75,
            candidates=(block(Candidate, confidence=0.25),),
            evidence=(block(Evidence),),
        ),
        source=block(Endpoint, ip="192.0.2.1", session="b2s:v-from", service="VC"),
        to=block(Endpoint, ip="192.0.2.2", session="b2s:v-to"),
        op=block(Operation, cls="delete"),
        target=block(ObjectRef),
        flow=block(FlowRef),
        tls=block(Tls, version="TLS 1.3"),
        client=block(Client, forwarded_for="192.0.2.3"),
        process=block(Process),
        sensor=block(SensorRef),
        extra={"v-key": "v-value"},
    )
    return {**as_dict(record), "integrity": {"seq": 4242, "prev": "v-prev", "hash": "v-hash"}}
