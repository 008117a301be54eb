"""A forward proxy passes TLS on: two flows, the same session; told once, from end to end."""

import json
import ssl
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from decoders.message import Login, LoginMethod, Message, ObjectSeen, Outcome, Target
from sensor import _core
from sensor.analysis import Analysis
from sensor.flows import Flow
from sensor.records import Record
from sensor.service_settings import ServiceSettings
from sensor.site import Site
from sensor.tls import TlsSeen
from sensor.tls_legs import LEGS_MAX, TlsLegs
from tests.command import hoptap
from tests.conversation import Conversation, request
from tests.impair import Packet, write_pcap
from tests.sensor.core_events import events_of, source_of
from tests.sensor.talk import BOB, MS, PROXY, START_NS, VC, flow_of
from tests.sensor.test_sealed import seen_of
from tests.tls_talk import TlsTalk, destroy, login

FRONT = flow_of(BOB, PROXY, 40_000)
BACK = flow_of(PROXY, VC, 50_000)
SESSION = "00c0ffee00c0ffee"


def said(number: int, time_ns: int = START_NS) -> Message:
    target = Target("VirtualMachine", f"vm-{number}")
    return ObjectSeen(target=target, time_ns=time_ns, end_ns=time_ns + MS)


class Proxied:
    """An analysis that has seen both legs' handshakes."""

    def __init__(self, *flows: Flow, session: str = SESSION) -> None:
        self.analysis = Analysis()
        self.records: list[Record] = []
        for flow in flows:
            self.analysis.tls(flow, seen_of(random_hash=session), START_NS)

    def login(self, flow: Flow, at: int = 0) -> list[Record]:
        """The n-th of identical logins."""
        time_ns = START_NS + at * 10 * MS
        message = Login(
            api="vim25",
            operation="Login",
            method=LoginMethod.PASSWORD,
            outcome=Outcome.SUCCESS,
            user="bob",
            new_tokens=("b2s:1",),
            time_ns=time_ns,
            end_ns=time_ns + MS,
        )
        return self.analysis.message(flow, message, "decrypted")


@pytest.mark.parametrize("order", list(permutations([FRONT, BACK])))
def test_whichever_leg_is_read_first_the_record_is_the_same(order: tuple[Flow, Flow]) -> None:
    proxied = Proxied(FRONT, BACK)
    [record] = proxied.login(order[0])
    assert proxied.login(order[1]) == []
    assert (record.source.ip, record.source.port) == (BOB, 40_000)
    assert (record.to.ip, record.to.port) == (VC, 443)
    assert record.flow.uid == BACK.uid
    assert record.hop is not None
    [leg] = record.hop.evidence
    assert (leg.key, leg.grade) == ("leg", "proved")
    assert leg.value == f"{FRONT.uid} {FRONT.community_id} {BOB} 40000 {PROXY} 443"


def test_the_same_said_twice_is_two_things() -> None:
    proxied = Proxied(FRONT, BACK)
    told = [proxied.login(flow, at) for at in range(3) for flow in (BACK, FRONT)]
    assert [len(each) for each in told] == [1, 0, 1, 0, 1, 0]
    proxied = Proxied(FRONT, BACK)
    told = [proxied.login(flow, at) for flow in (FRONT, BACK) for at in range(3)]
    assert [len(each) for each in told] == [1, 1, 1, 0, 0, 0]


def test_what_one_leg_missed_the_other_tells() -> None:
    proxied = Proxied(FRONT, BACK)
    assert len(proxied.login(BACK, 0)) == 1
    assert len(proxied.login(FRONT, 0)) == 0
    assert len(proxied.login(FRONT, 1)) == 1  # was lost on its way behind the proxy


def test_two_sessions_through_a_proxy_are_two() -> None:
    other = flow_of("10.0.1.12", PROXY, 40_001), flow_of(PROXY, VC, 50_001)
    proxied = Proxied(FRONT, BACK)
    for flow in other:
        proxied.analysis.tls(flow, seen_of(random_hash="ff"), START_NS)
    told = [record for flow in (FRONT, BACK, *other) for record in proxied.login(flow)]
    assert [record.source.ip for record in told] == [BOB, "10.0.1.12"]


def test_a_session_without_its_hellos_joins_nothing() -> None:
    for unknown in (seen_of(random_hash="0" * 16), seen_of(random_hash=SESSION, version=0)):
        proxied = Proxied()
        for flow in (FRONT, BACK):
            proxied.analysis.tls(flow, unknown, START_NS)
        [record] = proxied.login(FRONT)
        assert record.to.ip == PROXY


def test_clear_requests_of_a_leg_stay_with_the_leg() -> None:
    """CONNECT itself, which is said to the proxy."""
    proxied = Proxied(FRONT, BACK)
    message = said(1)
    at = proxied.analysis.message(FRONT, message, "clear")
    assert at == []
    assert proxied.analysis.inventory.name_of(PROXY, "vm-1") == ""


def test_the_address_of_the_proxy_is_known_as_one() -> None:
    proxied = Proxied(FRONT, BACK)
    assert proxied.analysis.services.is_proxy(PROXY)
    service = Analysis(site=Site([ServiceSettings("VCD", (PROXY,))]))
    for flow in (FRONT, BACK):
        service.tls(flow, seen_of(random_hash=SESSION), START_NS)
    assert not service.services.is_proxy(PROXY)  # it calls in its own name too


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_proxies_in_a_row(order: tuple[int, ...]) -> None:
    flows = [FRONT, flow_of(PROXY, "10.0.9.9"), flow_of("10.0.9.9", VC)]
    proxied = Proxied(*(flows[each] for each in order))
    [record] = [record for each in order for record in proxied.login(flows[each])]
    assert (record.source.ip, record.to.ip) == (BOB, VC)
    assert record.hop is not None and len(record.hop.evidence) == 2


def test_a_proxy_with_two_addresses_is_told_by_who_answered_first() -> None:
    behind = flow_of("10.0.9.1", VC)
    proxied = Proxied(behind, FRONT)
    [record] = [record for flow in (behind, FRONT) for record in proxied.login(flow)]
    assert (record.source.ip, record.to.ip) == (BOB, VC)


def test_what_legs_said_is_forgotten_with_the_last_of_them() -> None:
    legs = TlsLegs()
    for flow in (BACK, FRONT):
        legs.seen(flow, SESSION)
    joined = legs.of(FRONT)
    assert joined is not None
    assert not legs.repeats(joined, BACK, said(1))
    legs.end(BACK)
    assert legs.repeats(joined, FRONT, said(1, START_NS + MS))
    legs.end(FRONT)
    assert legs.of(FRONT) is None
    assert legs._sessions == {} and legs._identity == {} and legs._messages == 0


def test_a_second_handshake_on_a_flow_is_another_session() -> None:
    legs = TlsLegs()
    legs.seen(BACK, SESSION)
    assert legs.seen(FRONT, SESSION) is not None
    assert legs.seen(FRONT, "ee") is None and legs.of(FRONT) is None
    assert legs.seen(BACK, "ee") is not None
    joined = legs.of(FRONT)
    assert joined is not None and joined.flows == [FRONT, BACK]
    assert set(legs._sessions) == {"ee"}


def test_memory_is_bounded_and_what_is_shed_is_counted() -> None:
    legs = TlsLegs(messages_max=10)
    flows = [flow_of(f"10.9.0.{number}", VC) for number in range(LEGS_MAX + 3)]
    for flow in flows:
        legs.seen(flow, SESSION)
    joined = legs.of(flows[0])
    assert joined is not None and len(joined.flows) == LEGS_MAX
    for number in range(100):
        assert not legs.repeats(joined, flows[0], said(number))
    assert len(joined.said) == 10 and legs.shed == 90
    assert legs.repeats(joined, flows[1], said(99))
    assert not legs.repeats(joined, flows[1], said(1))  # forgotten: told again, rather than lost


def proxied_packets(directory: Path) -> tuple[TlsTalk, list[Packet]]:
    """CONNECT and TLS to a proxy, the same TLS from there on."""
    front = Conversation("10.1.0.11", 40_000, "10.1.0.2", 3128)
    back = Conversation("10.1.0.2", 50_000, "10.1.0.20", 443)
    front.say(request("CONNECT", "vc.example.test:443"))
    front.answer(b"HTTP/1.1 200 Connection established\r\n\r\n")
    talk = TlsTalk(directory, front, back)
    talk.exchange(*login("bob", "pw"))
    for _ in range(2):
        talk.exchange(*destroy("vm-7"))
    talk.keys.chmod(0o600)
    packets = [packet for flow in talk.flows for packet in flow.packets()]
    return talk, sorted(packets, key=lambda packet: packet.time_ns)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_tunnel_from_packets_to_records(tmp_path: Path, workers: str) -> None:
    talk, packets = proxied_packets(tmp_path)
    capture = write_pcap(tmp_path / "capture.pcap", packets)
    done = hoptap("replay", "--quiet", "--workers", workers, "--keys", talk.keys, capture)
    found: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["op"]["name"] for each in found] == ["Login", "Destroy_Task", "Destroy_Task"]
    for each in found:
        assert each["from"] == {"ip": "10.1.0.11", "port": 40_000}
        assert (each["to"]["ip"], each["to"]["port"]) == ("10.1.0.20", 443)
        assert each["to"]["user"] == "bob"
        [leg] = [fact["value"] for fact in each["hop"]["evidence"] if fact["key"] == "leg"]
        assert leg.endswith("10.1.0.11 40000 10.1.0.2 3128")


def test_a_copied_client_hello_is_another_session(tmp_path: Path) -> None:
    """What a client sends, another can send too; what a server answers is its own."""
    talk, packets = proxied_packets(tmp_path)
    hello = talk.flows[1].parts[0][1]
    copied = Conversation("10.1.0.66", 40_000, "10.1.0.20", 443)
    copied.say(hello)
    copied.answer(answer_to(hello, talk.private_key))
    packets += copied.packets(packets[-1].time_ns + MS)
    source = source_of(write_pcap(tmp_path / "capture.pcap", packets))
    clients: dict[int, str] = {}
    carried: dict[str, set[str]] = {}
    for kind, flow, _, _, _, value in events_of(source):
        if kind == _core.FLOW:
            clients[flow] = Flow(*value).client_ip
        elif kind == _core.TLS and (identity := TlsSeen._make(value).identity):
            carried.setdefault(identity, set()).add(clients[flow])
    assert sorted(map(sorted, carried.values())) == [["10.1.0.11", "10.1.0.2"], ["10.1.0.66"]]


def answer_to(hello: bytes, private_key: Path) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(private_key)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    received.write(hello)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(received, sent, server_side=True).do_handshake()
    return sent.read()
