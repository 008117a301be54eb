"""What a tap reads becomes the records that packets would have made; rings are files here."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decoders.registry import transaction_decoders
from sensor import _core, app
from sensor.analysis import Analysis
from sensor.hashing import KeyedHasher
from sensor.metrics import Metrics
from sensor.records import Process, Record, as_dict
from sensor.settings import HistorySettings, Settings
from sensor.streams import Streams
from sensor.tls import TlsSeen, tls_of
from sensor.workers import Event, Workers
from tests.conversation import request, response
from tests.packaged import capture_of, unpacked
from tests.said import said
from tests.sensor.core_events import batches_of, everything, limits, plain
from tests.taprings import (
    BUSY,
    CLIENT,
    DISCARD,
    PAGE,
    READ,
    SERVER,
    UNKNOWN,
    WRITTEN,
    FileRing,
    Session,
)

KEY = bytes(32)
TLS13 = "direct-tls13-pyvmomi"
SETTINGS = Settings(history=HistorySettings(enabled=False))
HERE, THERE = ("10.0.0.1", 443), ("10.0.0.2", 5555)
ENDS = ("from", "to")
EXPOSED = "guest_credentials_unencrypted"
GONE_PID = 1 << 22  # above what a kernel gives out

Told = list[dict[str, Any]]


def records_of(inputs: app.Inputs, ring: FileRing | None = None) -> Told:
    """All records; of a ring, once everything in it is read and the clock has moved on."""
    metrics = Metrics("test")
    sensor = app.assemble(SETTINGS, KeyedHasher(KEY), inputs, metrics)
    records: list[Record] = []
    idle = 0

    def turn() -> None:
        nonlocal idle
        idle += ring is not None and ring.consumed == ring.produced
        if idle == 2:
            sensor.workers.stop()

    app.drive(sensor, records.extend, turn)
    return [as_dict(record) for record in records]


def tapped(capture: Path, ring: FileRing, *, placed: bool = True, serves: bool = True) -> None:
    """The streams of the capture, as the servers in it read and wrote them."""
    flows, stretches = said(str(capture))
    shift_ns = time.monotonic_ns() - 10**9 - stretches[-1].time_ns
    role = SERVER if serves else CLIENT
    sessions = [Session(ring, 0x1000 * (at + 1), role=role) for at, _ in enumerate(flows)]
    if placed:
        for session, (_, client, client_port, server, server_port, *_rest) in zip(
            sessions, flows, strict=True
        ):
            ends = (server, server_port), (client, client_port)
            session.address(*(ends if serves else ends[::-1]), stretches[0].time_ns + shift_ns)
    for each in stretches:
        direction = READ if each.to_server == serves else WRITTEN
        sessions[each.flow].data(direction, each.data, each.time_ns + shift_ns)
    for session in sessions:
        session.close()


def comparable(records: Told) -> list[str]:
    """Without what names the flow and the process; times by how far they are from the first."""
    first_ns = records[0]["ts"]
    names = {record["id"]: f"record {number}" for number, record in enumerate(records)}
    names |= {f"flow:{record['flow']['uid']}": "flow" for record in records}
    lines = []
    for record in records:
        bare = dict(record)
        for name in ("sensor", "visibility", "process"):
            bare.pop(name, None)
        bare["flow"] = {name: each for name, each in bare["flow"].items() if name != "uid"}
        for name in ("ts", "ts_end"):
            if name in bare:
                bare[name] -= first_ns
        lines.append(json.dumps(_renamed(bare, names)))
    return lines


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


IN_CLEAR = [
    "chain-small-clear",
    "libvirt-clear",
    "openstack-clear",
    "pipelining-clear",
    "winrm-clear",
]


@pytest.mark.parametrize("serves", [True, False], ids=["server", "client"])
@pytest.mark.parametrize("name", IN_CLEAR)
def test_the_records_of_packets(name: str, serves: bool, tmp_path: Path) -> None:
    capture = plain(capture_of(name), tmp_path)
    of_packets = records_of(app.Inputs(files=(str(capture),)))
    with FileRing(1 << 26) as ring:
        tapped(capture, ring, serves=serves)
        of_tap = records_of(app.Inputs(tap_ring=ring.fd), ring)
    assert {record["visibility"] for record in of_tap} == {"tapped"}
    name = Path("/proc/self/comm").read_text().strip()
    found = {(each["process"]["name"], each["process"]["pid"]) for each in of_tap}
    assert found == {(name, os.getpid())}
    # In clear there is more to warn of.
    of_packets = [each for each in of_packets if each.get("reason") != EXPOSED]
    assert comparable(of_tap) == comparable(of_packets)


def test_without_addresses_the_process_stands_for_them(tmp_path: Path) -> None:
    """One server: its sessions and who used them are told as with addresses."""
    capture = plain(capture_of("direct-clear-pyvmomi"), tmp_path)
    of_packets = records_of(app.Inputs(files=(str(capture),)))
    with FileRing(1 << 26) as ring:
        tapped(capture, ring, placed=False)
        of_tap = records_of(app.Inputs(tap_ring=ring.fd), ring)
    assert not {"ip", "port"} & {
        key for each in of_tap for end in ENDS for key in each.get(end, ())
    }
    assert {each["flow"].get("community_id") for each in of_tap} == {None}
    said = [(each["kind"], each["op"]["name"], each["to"].get("user")) for each in of_tap]
    assert said == [
        (each["kind"], each["op"]["name"], each["to"].get("user"))
        for each in of_packets
        if each.get("reason") != EXPOSED
    ]


def events_of(ring: FileRing, **changed: Any) -> list[tuple[int, Any]]:
    """(kind, value) of what the core hands up of the ring, and of the end of every flow."""
    source = _core.Source(everything(), limits(), tap=ring.fd, **changed)
    events = []
    while ring.consumed != ring.produced:
        events += [(each[0], each[5]) for each in source.fill(100)]
    events += [(each[0], each[5]) for each in source.fill(0)]
    source.stop()
    return events + [(each[0], each[5]) for each in source.fill(0)]


def test_a_loss_is_a_gap_of_its_size() -> None:
    with FileRing() as ring:
        session = Session(ring, 0x1000)
        session.data(READ, request("GET", "/whole"))
        session.data(WRITTEN, response(200, body=b"whole"))
        session.data(READ, request("PUT", "/cut", body=b"x" * 5000)[:1000])
        session.lose(READ, 3000)
        session.data(READ, b"x" * (len(request("PUT", "/cut", body=b"x" * 5000)) - 4000))
        session.data(WRITTEN, response(201))
        session.lose(WRITTEN, 77)
        session.close(totals=True)
        events = events_of(ring)
    assert [value for kind, value in events if kind == _core.GAP] == [3000, 77]
    told = [(value[3], value[4], value[5]) for kind, value in events if kind == _core.TRANSACTION]
    assert told == [("GET", "/whole", 200), ("PUT", "/cut", 201)]


def test_a_gap_says_what_the_tap_missed() -> None:
    with FileRing() as ring:
        session = Session(ring, 0x1000)
        session.address(HERE, THERE)
        session.data(READ, request("GET", "/a"))
        session.lose(WRITTEN, 4321)
        session.close(totals=True)
        [gap] = records_of(app.Inputs(tap_ring=ring.fd), ring)
    assert (gap["kind"], gap["gap_bytes"], gap["visibility"]) == ("gap", 4321, "tapped")
    assert (gap["to"]["ip"], gap["from"]["ip"]) == (HERE[0], THERE[0])
    assert gap["process"]["pid"] == os.getpid()


def test_a_flow_is_described() -> None:
    with FileRing() as ring:
        for role, direction in ((SERVER, READ), (CLIENT, WRITTEN), (UNKNOWN, WRITTEN)):
            session = Session(ring, 0x1000 * (role + 1), role=role, tap=role, pid=GONE_PID)
            if role != UNKNOWN:
                session.address(HERE, THERE)
            session.data(direction, request("GET", "/a"))
            session.close()
        flows = [value for kind, value in events_of(ring) if kind == _core.FLOW]
    # protocol, client, server, VLAN, tunnel, source, PID, tap, does it serve, its name and cgroup
    bare = [(*each[:7], *each[9:]) for each in flows]
    own, peer = f"process:{GONE_PID}", f"peer of process:{GONE_PID}"
    assert bare == [
        (6, *THERE, *HERE, -1, "", 0, GONE_PID, SERVER, True, "", ""),
        (6, *HERE, *THERE, -1, "", 0, GONE_PID, CLIENT, False, "", ""),
        (6, own, 0, peer, 0, -1, "", 0, GONE_PID, UNKNOWN, False, "", ""),
    ]
    communities = [each[7] for each in flows]
    assert communities[0] == communities[1] != "" and communities[2] == ""


def test_what_is_in_the_ring_is_read_before_the_end() -> None:
    with FileRing() as ring:
        source = _core.Source(everything(), limits(), tap=ring.fd)
        session = Session(ring, 0x1000)
        for _ in range(1000):
            session.data(READ, request("GET", "/a"))
            session.data(WRITTEN, response(200))
        source.stop()
        batches = list(batches_of(source))
        assert source.counters()["http_transactions"] == 1000
    assert batches[-1].end and batches[-1].error is None


def test_a_socket_is_found_by_its_descriptor() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, FileRing() as ring:
        port = listening.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as connected,
            listening.accept()[0] as end,
        ):
            session = Session(ring, 0x1000, fd=end.fileno())
            session.data(READ, request("GET", "/a"))
            [flow] = [value for kind, value in events_of(ring) if kind == _core.FLOW]
            assert flow[1:5] == (*connected.getsockname(), "127.0.0.1", port)


def test_what_is_busy_waits_and_what_is_discarded_is_passed_over() -> None:
    with FileRing() as ring:
        ring.put(b"no event", DISCARD)
        session = Session(ring, 0x1000)
        session.data(READ, request("GET", "/a"))
        ring.put(b"in the making", BUSY)
        source = _core.Source(everything(), limits(), tap=ring.fd)
        assert len(source.fill(20)) == 0
        assert ring.produced - ring.consumed == 24  # header, and 13 bytes in 16
        assert source.counters()["tap_events"] == 1
        source.close()


def wrong_taps() -> Iterator[tuple[type[Exception], dict[str, Any]]]:
    yield OSError, {"tap": 0}
    yield ValueError, {"tap": 3, "files": ("x.pcap",)}
    yield ValueError, {"tap": 3, "workers": 2}
    yield ValueError, {"tap": 3, "secrets_to": (1,)}
    yield TypeError, {"tap": "ring"}


@pytest.mark.parametrize(("error", "arguments"), list(wrong_taps()))
def test_wrong_arguments(error: type[Exception], arguments: dict[str, Any]) -> None:
    with FileRing() as ring:
        if arguments["tap"] == 3:
            arguments = arguments | {"tap": ring.fd}
        with pytest.raises(error):
            _core.Source(everything(), limits(), **arguments)


def test_a_broken_ring_ends_the_input() -> None:
    with FileRing() as ring:
        ring.put(b"")
        os.pwrite(ring.fd, struct.pack("=I", 1 << 29), 2 * PAGE)
        source = _core.Source(everything(), limits(), tap=ring.fd)
        batch = source.fill(20)
        assert batch.end and batch.error == "tap: the ring is broken at position 0"


def secrets_of(capture: str) -> list[bytes]:
    return [line for line in unpacked(capture, "keys.log.gz").splitlines() if line[:1] != b"#"]


def test_secrets_of_a_tap_are_for_packets(tmp_path: Path) -> None:
    capture = plain(capture_of(TLS13), tmp_path)
    packets = _core.Source(everything(), limits(), files=(str(capture),), decrypt=True)
    with FileRing() as ring:
        tap = _core.Source(everything(), limits(), tap=ring.fd, secrets_to=(packets,))
        for line in secrets_of(TLS13):
            ring.secret(line)
        while ring.consumed != ring.produced:
            tap.fill(20)
        tap.close()
    seen = [
        value for batch in batches_of(packets) for kind, *_, value in batch if kind == _core.TLS
    ]
    decrypted = [each for each in map(TlsSeen._make, seen) if each.is_decrypted]
    assert decrypted
    assert {tls_of(each).key_source for each in decrypted} <= {"tap", "ticket"}


def test_who_the_secrets_are_for_may_close_first(tmp_path: Path) -> None:
    capture = plain(capture_of(TLS13), tmp_path)
    packets = _core.Source(everything(), limits(), files=(str(capture),), decrypt=True)
    with FileRing() as ring:
        tap = _core.Source(everything(), limits(), tap=ring.fd, secrets_to=(packets,))
        packets.close()
        ring.secret(b"CLIENT_RANDOM 00 00")
        tap.fill(20)
        assert tap.counters()["tap_secrets"] == 1
        tap.close()


def packets_of(capture: Path, *, keys: bool) -> Iterator[Event]:
    source = _core.Source(everything(), limits(), files=(str(capture),), decrypt=keys)
    if keys:
        source.add_secrets(b"\n".join(secrets_of(TLS13)), 1)
    yield from (event for event in Workers([source]) if isinstance(event, Event))


def twin(event: Event) -> Event:
    """The same, as a tap in the server sees it."""
    flow = event.flow
    flow = flow._replace(uid=f"{flow.uid}tap", pid=7, serves=True, name="nginx")
    return replace(event, flow=flow)


def with_tap_facts(records: list[Record], key: str) -> list[Record]:
    """Those with a proved fact of this key."""
    return [
        record
        for record in records
        if record.hop is not None
        and any((fact.key, fact.grade) == (key, "proved") for fact in record.hop.evidence)
    ]


@pytest.mark.parametrize("tap_first", [True, False])
def test_tap_and_packets_of_one_connection_are_told_once(tap_first: bool, tmp_path: Path) -> None:
    """Whichever of the two came first is told, with the other as evidence."""
    capture = plain(capture_of(TLS13), tmp_path)
    told: list[list[Record]] = []
    flows = set()
    for taps in (False, True):
        analysis, records = Analysis(taps=taps), []
        streams = Streams(transaction_decoders(KeyedHasher(KEY)), analysis)
        for event in packets_of(capture, keys=True):
            flows.add(event.flow)
            seen = [event]
            if taps and event.kind in (_core.TRANSACTION, _core.FLOW_END):
                seen.insert(0 if tap_first else 1, twin(event))
            for each in seen:
                records += streams.event(each)
        told.append(records + analysis.finish())
    alone, both = told
    assert [(each.kind, each.op, each.outcome) for each in both] == [
        (each.kind, each.op, each.outcome) for each in alone
    ]
    assert len(both) > 40
    # what a flow said before the other one was met has but one witness
    joined = with_tap_facts(both, "leg" if tap_first else "tap")
    assert len(joined) >= len(both) - (0 if tap_first else len(flows))
    assert {each.visibility for each in joined} == {"tapped" if tap_first else "decrypted"}
    assert {each.process for each in joined} == {Process("nginx", 7, "") if tap_first else None}


def test_what_a_tap_opens_is_not_told_as_sealed(tmp_path: Path) -> None:
    """Packets without their key, and a tap: its records have the TLS of the packets."""
    capture = plain(capture_of(TLS13), tmp_path)
    analysis = Analysis(taps=True)
    analysis.services.learn("10.77.3.10", 443, "VC", 3)
    streams = Streams(transaction_decoders(KeyedHasher(KEY)), analysis)
    events = list(packets_of(capture, keys=False))
    opened = [event for event in packets_of(capture, keys=True) if event.kind == _core.TRANSACTION]
    begun = {event.flow: replace(event, kind=_core.FLOW) for event in reversed(opened)}
    events += map(twin, (*begun.values(), *opened))
    records: list[Record] = []
    for event in sorted(events, key=lambda event: event.time_ns):
        records += streams.event(event)
    records += analysis.finish()
    assert len(records) > 40
    assert {each.visibility for each in records} == {"tapped"}
    assert with_tap_facts(records, "leg") == records
    assert {each.tls.version if each.tls else "" for each in records} == {"TLS 1.3"}
