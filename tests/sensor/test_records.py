"""What leaves the sensor: field order, what is left out, encodings, ids."""

import json
from uuid import UUID

import msgpack
import pytest

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
    as_dict,
    encode_msgpack,
    encode_ndjson,
    escape_uid,
    new_id,
    path_of,
)

FULL = Record(
    kind="action",
    ts=1,
    ts_end=2,
    id="i",
    visibility="clear",
    chain=Chain("c", "VCD:bob:VC:svc", ("bob", "svc"), ("VCD", "VC"), 2),
    hop=Hop(
        1,
        2,
        "VC",
        "svc",
        "ambiguous",
        0.5,
        "p",
        (Candidate("a", "bob", "VCD:bob:VC:svc", 0.5),),
        (Evidence("target", "vm-1", "inferred"),),
        "provisional",
    ),
    source=Endpoint("1.1.1.1", 1, "VCD", "bob", "s"),
    to=Endpoint("2.2.2.2", 443, "VC", "svc", "t"),
    op=Operation("Destroy_Task", "vim25", "delete", "id-1", "m"),
    target=ObjectRef("VirtualMachine", "vm-1", "web"),
    outcome="failure",
    fault="NoPermission",
    task="task-1",
    guest_user="root",
    amends="x",
    reason="r",
    gap_bytes=7,
    flow=FlowRef("tcp", "1:abc", "C1", 12, "gre"),
    tls=Tls(
        "TLS 1.3",
        "TLS_AES_128_GCM_SHA256",
        "vc.example.org",
        "http/1.1",
        "3",
        "3s",
        "4",
        "4s",
        True,
        True,
        "CN=vc",
        "CN=ca",
        "ff",
        "CN=ext",
        "CN=ca2",
        "ee",
        "keylog",
        "late_key",
    ),
    client=Client("agent", "1.2.3.4"),
    sensor=SensorRef("s", "eth0", "1"),
    extra={"k": "v"},
)


def test_every_field_in_schema_order() -> None:
    assert json.dumps(as_dict(FULL)) == json.dumps(
        {
            "schema": "hop/1",
            "kind": "action",
            "ts": 1,
            "ts_end": 2,
            "id": "i",
            "visibility": "clear",
            "chain": {
                "id": "c",
                "path": "VCD:bob:VC:svc",
                "users": ["bob", "svc"],
                "services": ["VCD", "VC"],
                "depth": 2,
            },
            "hop": {
                "index": 1,
                "count": 2,
                "service": "VC",
                "user": "svc",
                "parent_id": "p",
                "cause": "ambiguous",
                "confidence": 0.5,
                "candidates": [
                    {"id": "a", "user": "bob", "path": "VCD:bob:VC:svc", "confidence": 0.5}
                ],
                "evidence": [{"key": "target", "value": "vm-1", "grade": "inferred"}],
                "state": "provisional",
            },
            "from": {"ip": "1.1.1.1", "port": 1, "service": "VCD", "user": "bob", "session": "s"},
            "to": {"ip": "2.2.2.2", "port": 443, "service": "VC", "user": "svc", "session": "t"},
            "op": {
                "name": "Destroy_Task",
                "api": "vim25",
                "class": "delete",
                "id": "id-1",
                "method": "m",
            },
            "target": {"type": "VirtualMachine", "id": "vm-1", "name": "web"},
            "outcome": "failure",
            "fault": "NoPermission",
            "task": "task-1",
            "guest_user": "root",
            "amends": "x",
            "reason": "r",
            "gap_bytes": 7,
            "flow": {
                "proto": "tcp",
                "community_id": "1:abc",
                "uid": "C1",
                "vlan": 12,
                "tunnel": "gre",
            },
            "tls": {
                "version": "TLS 1.3",
                "cipher": "TLS_AES_128_GCM_SHA256",
                "sni": "vc.example.org",
                "alpn": "http/1.1",
                "ja3": "3",
                "ja3s": "3s",
                "ja4": "4",
                "ja4s": "4s",
                "resumed": True,
                "early_data": True,
                "subject": "CN=vc",
                "issuer": "CN=ca",
                "fingerprint": "ff",
                "client_subject": "CN=ext",
                "client_issuer": "CN=ca2",
                "client_fingerprint": "ee",
                "key_source": "keylog",
                "reason": "late_key",
            },
            "client": {"user_agent": "agent", "forwarded_for": "1.2.3.4"},
            "sensor": {"id": "s", "iface": "eth0", "version": "1"},
            "extra": {"k": "v"},
        }
    )


def test_what_is_unknown_is_absent() -> None:
    assert as_dict(Record(kind="gap", ts=0)) == {
        "schema": "hop/1",
        "kind": "gap",
        "ts": 0,
        "visibility": "clear",
    }


def test_a_zero_that_says_something_stays() -> None:
    record = Record(kind="action", ts=1, hop=Hop(0, 1, "VC", "bob", "none", 0.0))
    assert as_dict(record)["hop"] == {
        "index": 0,
        "count": 1,
        "service": "VC",
        "user": "bob",
        "cause": "none",
        "confidence": 0.0,
    }


def test_ndjson_is_one_line_of_utf8() -> None:
    line = encode_ndjson(Record(kind="gap", ts=1, reason="größe\n\ud800"))
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line)["reason"] == "größe\n\ud800"


def test_msgpack_is_the_same_tree() -> None:
    assert msgpack.unpackb(encode_msgpack(FULL)) == as_dict(FULL)
    assert b"\\ud800" in encode_msgpack(Record(kind="gap", ts=1, reason="\ud800"))


def test_ids_are_uuid7_of_packet_time() -> None:
    time_ns = 1_795_291_769_123_456_789
    identity = UUID(new_id(time_ns))
    assert identity.version == 7 and identity.variant == "specified in RFC 4122"
    assert identity.int >> 80 == time_ns // 1_000_000
    assert new_id(time_ns) != new_id(time_ns)
    assert new_id(time_ns) < new_id(time_ns + 2_000_000)


@pytest.mark.parametrize(
    ("uid", "escaped"),
    [("bob", "bob"), ("a:b", "a\\:b"), ("CORP\\bob", "CORP\\\\bob"), ("a\\:b", "a\\\\\\:b")],
)
def test_uids_inside_a_path(uid: str, escaped: str) -> None:
    assert escape_uid(uid) == escaped
    assert path_of([("VC", uid)]) == f"VC:{escaped}"


def test_what_is_unseen_in_a_path() -> None:
    assert path_of([("", ""), ("VC", ""), ("ESX", "vpxuser")]) == "?:?:VC:?:ESX:vpxuser"
